"""No packet breaks the compiled answering: it is answered as Python does, or left to it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taught import AAAA, PORT, SOA, SOURCE, TXT, Twice, opt, option, query, subnet, twice

from gslb.policy.nearest import Nearest
from gslb.policy.weighted import Weighted

LONDON = "81.2.69.160"
NAMES = ("www.shop.test", "txt.shop.test", "shop.test", "nothing.shop.test", "x.wild.shop.test")
TYPES = (1, AAAA, TXT, SOA)
OPTIONS = (
    subnet(LONDON, 24),
    subnet("2a00:1450:4001:829::", 56),
    subnet("0.0.0.0", 0),
    option(10, b"8 bytes!"),
    option(10, bytes(24)),
    option(11, b""),
    option(12, bytes(7)),
    option(3, b""),
)


@pytest.fixture(scope="module")
def pair() -> Twice:
    made = twice((Weighted((("us-east", 1.0), ("eu-west", 2.0))), Nearest()))
    for name in NAMES:
        for rtype in TYPES:
            for client in (SOURCE, LONDON, "2a00:1450:4001:829::"):
                made.teach(name, rtype, client)
    return made


PLAIN = st.builds(
    query,
    st.sampled_from([*NAMES, "WWW.SHOP.test", "other.test"]),
    st.sampled_from(TYPES),
    st.just(b"")
    | st.builds(
        lambda options, payload, do: opt(*options, payload=payload, do=do),
        st.lists(st.sampled_from(OPTIONS), max_size=4),
        st.sampled_from([0, 512, 513, 1232, 65535]),
        st.booleans(),
    ),
    flags=st.sampled_from([0, 0x0100, 0x0130]),
    identifier=st.integers(0, 65535),
)
BYTE = st.sampled_from([0, 1, 2, 8, 10, 11, 24, 41, 63, 64, 65, 0xC0, 0xFF]) | st.integers(0, 255)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A query, some of its bytes changed, doubled or left out."""
    packet = bytearray(draw(PLAIN))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(packet)))
        what = draw(st.sampled_from(["change", "cut", "insert", "remove"]))
        if what == "cut":
            del packet[place:]
        elif what == "insert":
            packet[place:place] = bytes([draw(BYTE)])
        elif what == "remove":
            del packet[place : place + 1]
        elif place < len(packet):
            packet[place] = draw(BYTE)
    return bytes(packet)


@settings(max_examples=400)
@given(mutated(), st.sampled_from([SOURCE, LONDON, "2a00:1450:4001:829::"]))
def test_whatever_comes_is_answered_as_python_does_or_left_to_it(pair, packet, source):
    expected, outcome = pair.ask(packet, source)
    assert outcome in ("silence" if expected is None else expected, "miss")


@given(PLAIN, st.sampled_from([SOURCE, LONDON, "2a00:1450:4001:829::"]))
def test_a_plain_query_for_what_was_learned_is_not_left_to_python(pair, packet, source):
    expected, outcome = pair.ask(packet, source)
    asks_for_more = option(3, b"") in packet[12:] or b"other" in packet
    assert outcome == ("miss" if asks_for_more else expected)


@given(st.lists(st.binary(max_size=600), max_size=20))
def test_noise_is_left_to_python(pair, packets):
    answered = pair.exchange.rehearse(packets, SOURCE, PORT, pair.clock.now())
    expected = [pair.responder.respond(packet, SOURCE, PORT) or "silence" for packet in packets]
    assert all(outcome in (answer, "miss") for outcome, answer in zip(answered, expected, strict=True))
