"""No packet, however made, upsets the responder: the properties of `fuzz.checker` under hypothesis."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from unittest.mock import patch

import dns.message
import dns.name
import dns.rcode
import dns.tsig
import pytest
from fleets import NOW
from fuzz.checker import KEY, SIZES, SOURCE, Checker, read, signed
from fuzz.corpus import NAMES, queries
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.dns.name import from_text

CORPUS = tuple(queries())
KEYRING = {dns.name.from_text(KEY.name): dns.tsig.Key(KEY.name, KEY.secret.reveal(), KEY.algorithm)}
SOURCES = (SOURCE, "192.0.2.7", "2001:db8::7", "fe80::7%eth0")


@pytest.fixture(scope="module")
def checker() -> Checker:
    return Checker()


@pytest.fixture(autouse=True)
def _watching(checker: Checker) -> Iterator[None]:
    with checker.watching():
        yield


# Packets by parts, each of which may be wrong.


def option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data


def record(name: bytes, rtype: int, class_: int, ttl: int, data: bytes) -> bytes:
    return name + struct.pack("!HHIH", rtype, class_, ttl, len(data)) + data


def opt(payload: int, given: bytes, version: int = 0, flags: int = 0) -> bytes:
    return record(b"\x00", 41, payload, version << 16 | flags, given)


def one_question(name: bytes, rtype: int, *additional: bytes) -> bytes:
    head = struct.pack("!6H", 7, 0, 1, 0, 0, len(additional))
    return head + name + struct.pack("!HH", rtype, 1) + b"".join(additional)


numbers = st.integers(0, 65535)
small_counts = st.sampled_from((0, 0, 0, 0, 1, 2, 5))
labels = st.binary(min_size=1, max_size=63).map(lambda label: bytes([len(label)]) + label)
names = st.one_of(
    st.sampled_from(NAMES).map(from_text),
    st.lists(labels, max_size=4).map(lambda made: b"".join(made) + b"\x00"),
    st.lists(labels, max_size=3).map(lambda made: b"".join(made) + from_text("any.shop.test")),
    st.integers(1, 127).map(lambda count: b"\x01a" * count + b"\x00"),
)
types = st.one_of(st.sampled_from((1, 2, 5, 6, 12, 15, 16, 28, 39, 41, 43, 249, 250, 251, 252, 255)), numbers)
classes = st.one_of(st.just(1), st.sampled_from((3, 254, 255)), numbers)
pointers = st.integers(0xC000, 0xFFFF).map(lambda pointer: struct.pack("!H", pointer))

client_subnets = st.builds(
    lambda family, source, scope, address: struct.pack("!HBB", family, source, scope) + address,
    st.integers(0, 3),
    st.integers(0, 130),
    st.sampled_from((0, 0, 0, 24)),
    st.binary(max_size=17),
)
right_client_subnets = st.integers(0, 32).map(
    lambda length: struct.pack("!HBB", 1, length, 0) + (b"\x0a\x02\x00\x00"[: (length + 7) // 8])
)
options = st.one_of(
    st.tuples(st.just(8), client_subnets | right_client_subnets),
    st.tuples(st.just(10), st.binary(max_size=42)),
    st.tuples(st.just(3), st.sampled_from((b"", b"", b"x"))),
    st.tuples(st.just(11), st.sampled_from((b"", b"", b"\x00\x01"))),
    st.tuples(st.just(12), st.integers(0, 600).map(bytes)),
    st.tuples(numbers, st.binary(max_size=20)),
).map(lambda made: option(*made))
payloads = st.one_of(st.sampled_from((0, 511, 512, 513, 600, 1232, 1233, 4096, 65535)), numbers)
versions = st.sampled_from((0, 0, 0, 0, 1, 255))


opts = st.builds(
    opt, payloads, st.lists(options, max_size=4).map(b"".join), versions, st.sampled_from((0, 0x8000, 0xFFFF))
)
others = st.builds(
    record, names | pointers, types, classes, st.integers(0, 2**32 - 1), st.binary(max_size=40)
)


@st.composite
def packets(draw: st.DrawFn, *, plain: bool = False) -> bytes:
    """plain: a QUERY with one question and nothing but an OPT record after it."""
    question = draw(names) + struct.pack("!HH", draw(types), draw(classes))
    if plain:
        additional = draw(st.lists(opts, max_size=1))
        flags = draw(st.sampled_from((0, 0x0100, 0x0110)))
        return struct.pack("!6H", 7, flags, 1, 0, 0, len(additional)) + question + b"".join(additional)
    questions = [question] * draw(st.sampled_from((1, 1, 1, 1, 0, 2)))
    sections = [draw(st.lists(others, max_size=1)) if draw(small_counts) else [] for _ in range(2)]
    sections.append(draw(st.lists(opts | others, max_size=3)))
    flags = draw(st.sampled_from((0, 0x0100, 0x2000, 0x2800)) | numbers)
    counts = [len(part) for part in (questions, *sections)]
    parts = [*questions, *(each for section in sections for each in section)]
    return struct.pack("!6H", draw(numbers), flags, *counts) + b"".join(parts)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real query after one to four accidents."""
    packet = bytearray(draw(st.sampled_from(CORPUS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(packet) - 1)))
        kind = draw(st.sampled_from(("flip", "cut", "extend", "pointer", "count", "splice", "repeat")))
        if kind == "flip" and packet:
            packet[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del packet[at:]
        elif kind == "extend":
            packet += draw(st.binary(min_size=1, max_size=20))
        elif kind == "pointer":
            packet[at : at + 2] = draw(pointers)
        elif kind == "count":
            place = draw(st.sampled_from((4, 6, 8, 10)))
            packet[place : place + 2] = struct.pack("!H", draw(st.integers(0, 6) | numbers))
        elif kind == "splice":
            other = draw(st.sampled_from(CORPUS))
            packet[at:] = other[draw(st.integers(0, len(other))) :]
        else:
            packet[at:at] = packet[at : at + draw(st.integers(1, 30))]
    return bytes(packet)


many = settings(max_examples=200, deadline=None)
sources = st.sampled_from(SOURCES)


def test_real_queries_are_answered_as_any_packet_must_be(checker: Checker) -> None:
    for packet in CORPUS:
        checker.check(packet)


EVERY_OPTION = b"".join(
    option(code, data)
    for code, data in (
        (8, struct.pack("!HBB", 2, 128, 0) + b"\x20\x01" * 8),
        (10, bytes(8)),
        (3, b""),
    )
)
LONGEST_NAME = (
    b"".join(b"\x3f" + letter * 63 for letter in (b"a", b"b", b"c")) + b"\x3d" + b"d" * 61 + b"\x00"
)


@pytest.mark.parametrize("size", SIZES)
def test_an_answer_with_every_option_and_a_signature_keeps_to_512_bytes(checker: Checker, size: int) -> None:
    """Sizes from far below the limit to far above, so that one of them is just at every edge."""
    packet = one_question(from_text(f"size{size}.shop.test"), 16, opt(512, EVERY_OPTION))
    checker.check(packet)
    checker.check(signed(packet))


def test_the_longest_question_with_every_option_and_a_signature_keeps_to_512_bytes(checker: Checker) -> None:
    packet = one_question(LONGEST_NAME, 1, opt(512, EVERY_OPTION))
    checker.check(packet)
    checker.check(signed(packet))


@pytest.mark.parametrize("name", [from_text("www.shop.test"), LONGEST_NAME], ids=["short", "longest"])
def test_an_unknown_key_with_the_longest_name_gets_no_more_than_512_bytes(
    checker: Checker, name: bytes
) -> None:
    data = LONGEST_NAME + bytes(6) + struct.pack("!HH", 300, 32) + bytes(32) + bytes(6)
    checker.check(one_question(name, 1, record(LONGEST_NAME, 250, 255, 0, data)))


@many
@given(st.binary(max_size=600))
def test_arbitrary_bytes_do_no_harm(checker: Checker, packet: bytes) -> None:
    checker.check(packet)


def test_an_opcode_that_is_not_ours_with_more_records_than_anybody_sends(checker: Checker) -> None:
    question = b"\x04shop\x04test\0\0\x06\0\x01"
    for records in (1, 32, 33, 65535):
        head = struct.pack("!6H", 7, 1 << 11, 1, 0, 0, records)
        checker.check(head + question + b"\0\0)\x04\xd0\0\0\0\0\0\0", "10.1.2.3")


@many
@given(mutated(), sources)
def test_damaged_queries_do_no_harm(checker: Checker, packet: bytes, source: str) -> None:
    checker.check(packet, source)


@many
@given(packets() | packets(plain=True), sources)
def test_queries_of_every_shape_are_answered_as_they_must_be(
    checker: Checker, packet: bytes, source: str
) -> None:
    checker.check(packet, source)


@many
@given(mutated() | packets() | packets(plain=True))
def test_what_is_signed_does_no_harm_either(checker: Checker, packet: bytes) -> None:
    if len(packet) >= 12:
        checker.check(signed(packet))


@many
@given(packets(plain=True), st.booleans())
def test_a_signed_query_gets_an_answer_with_a_signature_that_is_right(
    checker: Checker, packet: bytes, stream: bool
) -> None:
    request = signed(packet)
    answer = checker.responder.respond(request, SOURCE, 4000, stream=stream)
    assert answer is not None
    assert read(request).question
    if answer[3] & 15 == dns.rcode.FORMERR:
        return  # what cannot be read cannot be verified
    # dnspython reads the time itself.
    with patch("time.time", return_value=NOW):
        told = dns.message.from_wire(answer, keyring=KEYRING, request_mac=mac_of(request))
    assert told.had_tsig


def mac_of(request: bytes) -> bytes:
    """The MAC of hmac-sha512 stands before the original ID, the error and the count of no other data."""
    return request[-6 - 64 : -6]
