"""How loaded a target says that it is, over HTTP: read leniently, and never a reason to call it down."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listening_target import PATIENCE, answering, http, listening

from gslb.health.checks import BODY_LIMIT, HttpCheck
from gslb.health.checks.load import LoadPlace, LoadSource, load_of_text


@pytest.mark.parametrize(
    ("text", "load"),
    [
        ("0", 0.0),
        ("0.42", 0.42),
        (" .5\r\n", 0.5),
        ("1.", 1.0),
        ("42%", 0.42),
        ("42.5 %", 0.425),
        ("1.07", 1.0),
        ("130%", 1.0),
        ("5e-05", 0.00005),
        ("9e999", 1.0),
        ("", None),
        ("%", None),
        ("-0.1", None),
        ("nan", None),
        ("inf", None),
        ("0.4 0.5", None),
        ("1_0", None),
        ("0,42", None),
        ("\u0664", None),
    ],
)
def test_a_load_is_a_share_or_a_percentage_and_all_at_most(text: str, load: float | None) -> None:
    assert load_of_text(text) == load


@pytest.mark.parametrize(
    ("body", "load"),
    [
        (b'{"system": {"load": 0.25}}', 0.25),
        (b'{"system": {"load": "25%"}}', 0.25),
        (b'{"system": {"load": 1}}', 1.0),
        (b'{"system": {"load": 1e999}}', 1.0),
        (b'{"system": {"load": 1' + b"0" * 400 + b"}}", 1.0),
        (b'{"system": {"load": 1' + b"0" * 5000 + b"}}", None),
        (b'{"system": {"load": -0.1}}', None),
        (b'{"system": {"load": NaN}}', None),
        (b'{"system": {"load": true}}', None),
        (b'{"system": {"load": null}}', None),
        (b'{"system": {"load": [0.5]}}', None),
        (b'{"system": 0.5}', None),
        (b'{"system.load": 0.5}', None),
        (b"0.5", None),
        (b"[" * 60000, None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_a_field_of_json_tells_it_by_its_path(body: bytes, load: float | None) -> None:
    assert LoadSource(LoadPlace.FIELD, "system.load").read({}, body) == load


SOURCES = [LoadSource(LoadPlace.BODY), LoadSource(LoadPlace.HEADER, "a"), LoadSource(LoadPlace.FIELD, "a.b")]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "b"]), inner),
)


@given(st.sampled_from(SOURCES), st.text(), st.binary() | json_values.map(lambda it: json.dumps(it).encode()))
def test_whatever_is_answered_there_is_a_share_or_none(source: LoadSource, header: str, body: bytes) -> None:
    load = source.read({"a": header}, body)
    assert load is None or 0 <= load <= 1


def with_header(value: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nX-Load: {value}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("options", "answer", "load", "reason"),
    [
        ({"load": {"header": "x-load"}}, with_header("0.42"), 0.42, r"200 in [\d.]+ ms"),
        ({"load": {"header": "X-Load"}, "method": "HEAD"}, with_header("7%"), 0.07, r"200 in [\d.]+ ms"),
        ({"load": {"header": "X-Load"}}, with_header("lots"), None, r"200 in [\d.]+ ms, load not told"),
        ({"load": {"header": "X-Load"}}, http(), None, r"200 in [\d.]+ ms, load not told"),
        ({"load": "body"}, http(b"0.3\n"), 0.3, r"200 in [\d.]+ ms"),
        ({"load": "body"}, http(b"0" * BODY_LIMIT + b"1"), None, r"200 in [\d.]+ ms, load not told"),
        ({"load": {"field": "a.b"}}, http(b'{"a": {"b": 0.6}}'), 0.6, r"200 in [\d.]+ ms"),
        ({"load": {"field": "a.b"}, "body": '"a"'}, http(b'{"a": {"b": 0.6}}'), 0.6, r"200 in [\d.]+ ms"),
        ({}, http(b"0.3"), None, r"200 in [\d.]+ ms"),
    ],
)
async def test_a_target_that_answers_is_up_whether_or_not_it_tells_its_load(
    options: dict[str, object], answer: bytes, load: float | None, reason: str
) -> None:
    check = HttpCheck.from_options(HttpCheck.Options.model_validate(options))
    with listening(answering(answer)) as target:
        outcome = await check.probe(target, PATIENCE)
    assert re.fullmatch(reason, outcome.reason), outcome.reason
    assert (outcome.ok, outcome.load) == (True, load)


@pytest.mark.parametrize("answer", [http(b"0.3", "503 No"), http(b"0.3")])
async def test_a_probe_that_failed_tells_no_load(answer: bytes) -> None:
    check = HttpCheck.from_options(HttpCheck.Options.model_validate({"load": "body", "body": "ok"}))
    with listening(answering(answer)) as target:
        outcome = await check.probe(target, PATIENCE)
    assert (outcome.ok, outcome.load) == (False, None)
