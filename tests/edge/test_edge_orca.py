"""ORCA headers: every form that servers write, and whatever else they do."""

from __future__ import annotations

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.orca import LONGEST, load_of


def double(number: int, value: float) -> bytes:
    return bytes([number << 3 | 1]) + struct.pack("<d", value)


def binary(*fields: bytes) -> bytes:
    return b"BIN " + base64.b64encode(b"".join(fields))


# rps (3, a varint), request_cost (4, a map), a field of 4 bytes, and one with a number of two bytes.
OTHER_FIELDS = (
    b"\x18\xe8\x07",
    b"\x22\x0f\x0a\x04cost\x11" + bytes(8),
    b"\x55abcd",
    b"\x80\x01\x05",
)


@pytest.mark.parametrize(
    ("value", "load"),
    [
        (b"TEXT cpu_utilization=0.3, mem_utilization=0.8, application_utilization=0.5", 0.5),
        (b"TEXT cpu_utilization=0.3,mem_utilization=0.8", 0.8),
        (b"  TEXT   cpu_utilization = 0.3 , rps_fractional=1000 ", 0.3),
        (b"TEXT cpu_utilization=0.3,application_utilization=0", 0.3),
        (b"TEXT cpu_utilization=0", 0.0),
        (b"TEXT cpu_utilization=1.7", 1.0),
        (b"TEXT application_utilization=3,cpu_utilization=0.1", 1.0),
        (b"TEXT named_metrics.queue=0.4,eps=1", None),
        (b"TEXT cpu_utilization=much,mem_utilization=0.2", 0.2),
        (b"TEXT cpu_utilization=-1,mem_utilization=0.2", 0.2),
        (b"TEXT cpu_utilization=nan", None),
        (b"TEXT cpu_utilization=inf", None),
        (b"TEXT cpu_utilization", None),
        (b"TEXT ", None),
        (b'JSON {"cpu_utilization": 0.3, "mem_utilization": 0.8}', 0.8),
        (b'JSON {"cpuUtilization": "0.3", "namedMetrics": {"a": 1}}', 0.3),
        (b'JSON {"applicationUtilization": 0.6, "cpuUtilization": 0.9}', 0.6),
        (b'JSON {"cpuUtilization": true}', None),
        (b'JSON {"cpuUtilization": 1' + b"0" * 400 + b"}", None),
        (b"JSON [0.3]", None),
        (b"JSON {", None),
        (b"JSON " + b"[" * LONGEST, None),
        (binary(double(1, 0.3), double(2, 0.8)), 0.8),
        (binary(double(1, 0.3), double(2, 0.8), double(9, 0.5)), 0.5),
        (binary(double(1, 0.3)).rstrip(b"="), 0.3),
        (binary(*OTHER_FIELDS, double(1, 0.3), *OTHER_FIELDS), 0.3),
        (binary(double(6, 0.9), double(7, 0.9)), None),
        (binary(double(1, 0.1), double(1, 0.2)), 0.2),
        (binary(), None),
        (binary(double(1, 0.3)[:-1]), None),
        (binary(double(1, 0.3), b"\x22\x7fx"), None),
        (binary(b"\x0b", double(1, 0.3)), None),
        (binary(b"\x80" * 11), None),
        (b"BIN CTMzMzMzM9M!", None),
        (b"0.3", None),
        (b"text cpu_utilization=0.3", None),
        (b"", None),
    ],
)
def test_what_headers_tell(value: bytes, load: float | None) -> None:
    assert load_of(value) == load


def test_a_header_that_is_too_long_is_not_read() -> None:
    text = b"TEXT cpu_utilization=0.3" + b" " * LONGEST + b",x=1"
    assert load_of(text) is None


shares = st.floats(0, 1)


@given(shares, shares, shares)
def test_all_forms_say_the_same(processor: float, memory: float, application: float) -> None:
    report = {
        "cpu_utilization": processor,
        "mem_utilization": memory,
        "application_utilization": application,
    }
    expected = application or max(processor, memory)
    assert load_of(b"JSON " + json.dumps(report).encode()) == expected
    pairs = ", ".join(f"{name}={value!r}" for name, value in report.items())
    assert load_of(b"TEXT " + pairs.encode()) == expected
    assert load_of(binary(double(1, processor), double(2, memory), double(9, application))) == expected


forms = st.sampled_from([b"TEXT ", b"JSON ", b"BIN ", b""])
names = st.sampled_from(["cpu_utilization", "memUtilization", "application_utilization", "rps"])
odd_json = st.dictionaries(names, st.none() | st.booleans() | st.integers() | st.floats() | st.text())


@given(
    st.tuples(forms, st.binary()).map(b"".join)
    | st.tuples(st.just(b"BIN "), st.binary().map(base64.b64encode)).map(b"".join)
    | st.tuples(st.just(b"JSON "), odd_json.map(json.dumps).map(str.encode)).map(b"".join)
    | st.dictionaries(names, st.text()).map(
        lambda pairs: b"TEXT " + ",".join(f"{name}={value}" for name, value in pairs.items()).encode()
    )
)
def test_whatever_comes_it_is_a_share_or_nothing(value: bytes) -> None:
    load = load_of(value)
    assert load is None or 0 <= load <= 1
