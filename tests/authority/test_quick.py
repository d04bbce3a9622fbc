"""What plain Python repeats is what the Responder would say, byte for byte and count for count."""

from __future__ import annotations

import struct
from dataclasses import replace
from functools import cache
from ipaddress import ip_address, ip_network

import pytest
from fleets import NOW, authority, drained, fleet, state, world
from fuzz.checker import NO_LIMIT, everything
from fuzz.corpus import queries
from hypothesis import given, settings
from hypothesis import strategies as st
from test_packet_fuzz import mutated, one_question, opt, option, packets

from gslb.clock import FakeClock
from gslb.dns import known_answers, quick
from gslb.dns.authority import Authority
from gslb.dns.name import from_text
from gslb.dns.responder import UNANSWERED_PORTS, Responder
from gslb.fleet import (
    AllDown,
    ClientSubnetSettings,
    CookieSettings,
    GeoSettings,
    RateLimitSettings,
    Secret,
)
from gslb.geo.locator import Locator
from gslb.policy.failover import Failover
from gslb.policy.nearest import Nearest
from gslb.policy.weighted import Weighted
from gslb.world import Verdict, World

FORMERR, SERVFAIL = 1, 2
A, NS, TXT, AAAA, ANY = 1, 2, 16, 28, 255
SOURCE, PORT = "192.0.2.77", 40_000
SOURCES = (SOURCE, "81.2.69.160", "2a00:1450:4001:829::77", "2002:5102:45a0::1", "fe80::7")
SECRETS = CookieSettings(secrets=(Secret("00112233445566778899aabbccddeeff"),))
LIMIT = RateLimitSettings(responses_per_second=3, errors_per_second=2, slip=2, ceiling=12)
CLIENT = b"8 bytes!"


@cache
def mapped() -> Locator:
    """The bundled database with its network map."""
    made = Locator(GeoSettings())
    assert made.map_networks()
    return made


class Twice:
    """Two responders with the same answers, the same clock and the same secrets: one repeats what it can."""

    def __init__(self, known: Authority) -> None:
        self.clock = FakeClock(NOW)
        self.slow = Responder(known, self.clock, "ns1")
        self.fast = Responder(known, self.clock, "ns1")
        self.repeated = 0

    def ask(self, packet: bytes, source: str = SOURCE, port: int = PORT) -> bytes | None:
        """The answer of both."""
        expected = self.slow.respond(packet, source, port)
        answer = self.repeat(packet, source, port)
        if answer is None:
            answer = self.fast.respond(packet, source, port)
        else:
            self.repeated += 1
        assert (answer or None) == expected
        return expected

    def repeat(self, packet: bytes, source: str = SOURCE, port: int = PORT) -> bytes | None:
        return self.fast.quick.answer(packet, ip_address(source).packed, port, self.clock.now())

    def use(self, known: Authority) -> None:
        self.slow.use(known)
        self.fast.use(known)

    def cookie(self, source: str = SOURCE) -> bytes:
        """The data of a good one."""
        cookies = self.slow.rules.cookies
        assert cookies is not None
        return cookies.check(CLIENT, ip_address(source).packed, self.clock.now()).option

    def assert_same_counts(self) -> None:
        for count in ("queries", "silences", "responses", "truncations", "cookies", "served", "hits"):
            assert getattr(self.fast, count) == getattr(self.slow, count), count


def twice(
    *policies: object, locator: Locator | None = None, known: World | None = None, **more: object
) -> Twice:
    made = fleet(policies or (Nearest(),), **{"cookies": SECRETS, **more})
    return Twice(authority(made, known, locator or mapped()))


def question(name: str, rtype: int = A, *options: bytes, payload: int = 1232) -> bytes:
    """With an OPT record, if there are options or a payload other than 0."""
    return one_question(from_text(name), rtype, *([opt(payload, b"".join(options))] if payload else []))


def subnet(address: str, length: int) -> bytes:
    network = ip_network(f"{address}/{length}", strict=False)
    family = 1 if network.version == 4 else 2
    told = network.network_address.packed[: (length + 7) // 8]
    return option(8, struct.pack("!HBB", family, length, 0) + told)


def everybody_answers(rate_limit: RateLimitSettings) -> Authority:
    made = everything(rate_limit)
    return authority(made, locator=mapped())


USUAL = {
    "a service": question("www.shop.test", payload=0),
    "another type": question("www.shop.test", AAAA),
    "static data": question("txt.shop.test", TXT),
    "a name that is not there": question("nothing.shop.test"),
    "a type without data": question("txt.shop.test", A),
    "a wildcard": question("x.y.any.shop.test", TXT),
    "a referral": question("host.sub.shop.test"),
    "a chain": question("alias.shop.test"),
    "too much for the asker": question("many.shop.test", 15, payload=512),
    "a client subnet": question("www.shop.test", A, subnet("81.2.69.0", 24)),
    "one of IPv6": question("www.shop.test", A, subnet("2a00:1450:4001::", 48)),
    "one that tells nothing": question("www.shop.test", A, subnet("0.0.0.0", 0)),
    "one without a family": question("www.shop.test", A, option(8, bytes(4))),
    "a new cookie": question("www.shop.test", A, option(10, CLIENT)),
    "a foreign cookie": question("www.shop.test", A, option(10, CLIENT + bytes(16))),
    "both": question("www.shop.test", A, subnet("81.2.69.0", 24), option(10, CLIENT)),
    "both the other way round": question("www.shop.test", A, option(10, CLIENT), subnet("81.2.69.0", 24)),
    "padding": question("www.shop.test", A, option(12, bytes(9)), option(10, CLIENT), option(11, b"")),
    "options twice": question("www.shop.test", A, subnet("81.2.69.0", 24), subnet("1.2.3.0", 24)),
    "mixed case": question("wWw.sHoP.tEsT", 65),
}


@pytest.fixture(scope="module")
def pair() -> Twice:
    return Twice(everybody_answers(NO_LIMIT))


@pytest.mark.parametrize("packet", USUAL.values(), ids=USUAL)
@pytest.mark.parametrize("source", SOURCES[:3])
def test_what_is_usual_is_asked_of_the_responder_once(pair: Twice, packet: bytes, source: str) -> None:
    pair.ask(packet, source)
    before = pair.repeated
    pair.ask(b"\xab\xcd\x01\x30" + packet[4:], source)  # another ID, RD, AD and CD
    assert pair.repeated == before + 1
    pair.assert_same_counts()


UNUSUAL = {
    "a runt": b"1234",
    "nothing": b"",
    "a response": b"\0\0\x80" + USUAL["a service"][3:],
    "another opcode": b"\0\0\x20" + USUAL["a service"][3:],
    "NSID": question("www.shop.test", A, option(3, b"")),
    "another version": one_question(from_text("www.shop.test"), A, opt(1232, b"", 1)),
    "another class": question("www.shop.test")[:-13] + b"\3" + question("www.shop.test")[-12:],
    "a name cut short": USUAL["a service"][:-6],
    "more after the end": USUAL["a service"] + b"\0",
    "more after OPT": USUAL["a new cookie"] + b"\0",
    "more after a client subnet": USUAL["a client subnet"] + b"\0",
    "a client subnet cut short": USUAL["a client subnet"][:-1],
    "an option cut short": question("www.shop.test", A, b"\0\x0a\0\x08123"),
    "a cookie of no length": question("www.shop.test", A, option(10, b"123")),
    "bits beyond the prefix": question("www.shop.test", A, option(8, b"\0\1\x17\0\x51\x02\x45")),
    "a scope in a query": question("www.shop.test", A, option(8, b"\0\1\x18\x18\x51\x02\x45")),
    "elsewhere": question("elsewhere.test"),
}


@pytest.mark.parametrize("packet", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_is_left_to_the_responder(pair: Twice, packet: bytes) -> None:
    for known in USUAL.values():
        pair.ask(known)
    for _ in range(2):
        pair.ask(packet)
        assert pair.repeat(packet) is None
    pair.assert_same_counts()


@pytest.mark.parametrize("port", sorted(UNANSWERED_PORTS))
def test_ports_that_are_not_answered_are_not(pair: Twice, port: int) -> None:
    assert pair.ask(USUAL["a service"])
    assert pair.ask(USUAL["a service"], port=port) is None


@pytest.mark.parametrize("length", [1, 23, 25, 31])
def test_a_client_subnet_with_bits_beyond_its_prefix_is_malformed_every_time(
    pair: Twice, length: int
) -> None:
    right = subnet("81.2.69.160", length)
    for _ in range(2):
        answer = pair.ask(question("www.shop.test", A, right))
        assert answer is not None
        assert not answer[3] & 15
    wrong = right[:-1] + bytes((right[-1] | 1,))
    answer = pair.ask(question("www.shop.test", A, wrong))
    assert answer is not None
    assert answer[3] & 15 == FORMERR


def test_another_option_in_the_place_of_a_cookie_is_none(pair: Twice) -> None:
    told = subnet("81.2.69.0", 24)
    with_cookie = pair.ask(question("www.shop.test", A, told, option(10, CLIENT)))
    without = pair.ask(question("www.shop.test", A, told, option(12, bytes(len(CLIENT)))))
    assert with_cookie is not None
    assert without is not None
    assert len(with_cookie) == len(without) + 28


def test_an_answer_that_expires_is_not_repeated() -> None:
    pair = twice(known=world(drained("us-east", until=NOW + 20)))
    for _ in range(25):
        pair.ask(question("www.shop.test"))
        pair.clock.advance(1)
    assert pair.repeated
    pair.assert_same_counts()


def test_an_answer_of_a_world_that_is_gone_is_not_repeated() -> None:
    pair = twice()
    before = [pair.ask(question("www.shop.test", A, subnet("81.2.69.0", 24))) for _ in range(2)]
    pair.use(replace(pair.fast.authority, world=world(drained("eu-west"))))
    after = [pair.ask(question("www.shop.test", A, subnet("81.2.69.0", 24))) for _ in range(2)]
    assert before[0] != after[0]
    assert pair.repeated >= 1


def test_nobody_is_told_that_an_error_depends_on_the_place() -> None:
    down = world(*(state(name, Verdict.DOWN) for name in ("us-east", "eu-west", "ap-southeast")))
    pair = twice(all_down=AllDown.SERVFAIL, known=down)
    for payload in (512, 1232, 0):
        for _ in range(2):
            told = [subnet("81.2.69.0", 24)] if payload else []
            answer = pair.ask(question("www.shop.test", A, *told, payload=payload))
            assert answer is not None
            assert answer[3] & 15 == SERVFAIL
    assert pair.repeated >= 3
    pair.assert_same_counts()


lengths4 = st.integers(0, 32).map(lambda length: subnet("81.2.69.160", length))
lengths6 = st.integers(0, 128).map(lambda length: subnet("2a00:1450:4001:829::77", length))
carried = st.sampled_from(
    ("2002:5102:45a0::", "64:ff9b::5102:45a0", "64:ff9b:1::", "::ffff:81.2.69.160", "::1")
)
transitional = st.builds(subnet, carried, st.integers(0, 128))
cookies = st.sampled_from(("new", "good", "bad", "old", "long")).map(
    lambda kind: {"new": CLIENT, "good": b"", "bad": CLIENT + bytes(16), "old": b"x" * 24, "long": b"x" * 40}[
        kind
    ]
)
names = st.sampled_from(
    (
        "www.shop.test",
        "wWw.sHOp.test",
        "split.shop.test",
        "alias.shop.test",
        "big.shop.test",
        "nothing.shop.test",
        "size200.shop.test",
        "txt.shop.test",
        "shop.test",
    )
)


@st.composite
def usual(draw: st.DrawFn) -> tuple[bytes, str]:
    """A query that differs in what queries differ in, and where it comes from; some with an empty cookie."""
    source = draw(st.sampled_from(SOURCES))
    given_options = draw(
        st.lists(
            st.one_of(lengths4, lengths6, transitional, cookies.map(lambda data: option(10, data))),
            max_size=3,
        )
    )
    payload = draw(st.sampled_from((0, 511, 512, 600, 1232, 4096)))
    packet = question(
        draw(names), draw(st.sampled_from((A, AAAA, TXT, NS, ANY))), *given_options, payload=payload
    )
    flags = draw(st.sampled_from((0, 0x0100, 0x0130)))
    return struct.pack("!HH", draw(st.integers(0, 65535)), flags) + packet[4:], source


def with_good_cookie(pair: Twice, packet: bytes, source: str) -> bytes:
    """With a good cookie instead of an empty one, if that is the last option."""
    if not packet.endswith(b"\0\x0a\0\0"):
        return packet
    cookie = option(10, pair.cookie(source))
    at = packet.rindex(b"\0\0\x29", 0, len(packet)) + 9
    length = int.from_bytes(packet[at : at + 2]) + len(cookie) - 4
    return packet[:at] + length.to_bytes(2) + packet[at + 2 : -4] + cookie


many = settings(max_examples=150, deadline=None)


@many
@given(usual())
def test_usual_queries_are_answered_alike(pair: Twice, asked: tuple[bytes, str]) -> None:
    packet, source = asked
    packet = with_good_cookie(pair, packet, source)
    pair.ask(packet, source)
    pair.ask(packet, source)
    pair.assert_same_counts()


CORPUS = tuple(queries())


@many
@given(mutated() | packets() | packets(plain=True) | st.sampled_from(CORPUS), st.sampled_from(SOURCES))
def test_whatever_comes_is_answered_alike(pair: Twice, packet: bytes, source: str) -> None:
    pair.ask(packet, source)
    pair.ask(packet, source)
    pair.assert_same_counts()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(usual(), st.sampled_from((0.0, 0.0, 0.0, 0.4))), min_size=5, max_size=60))
def test_limits_meet_both_alike(asked: list[tuple[tuple[bytes, str], float]]) -> None:
    pair = Twice(everybody_answers(LIMIT))
    for (packet, source), passes in asked:
        pair.ask(with_good_cookie(pair, packet, source), source)
        pair.clock.advance(passes)
    pair.assert_same_counts()


def test_over_the_limit_answers_are_cut_short_or_left_out() -> None:
    pair = twice(rate_limit=LIMIT)
    answers = [pair.ask(question("www.shop.test")) for _ in range(9)]
    sent = [answer for answer in answers if answer is not None]
    assert len(sent) < 9
    assert any(answer[2] & 2 for answer in sent)
    assert pair.repeated == 8


POLICIES = (
    (Nearest(),),
    (Failover(("eu-west",)),),
    (Weighted((("us-east", 1), ("eu-west", 2))),),
    (Weighted((("us-east", 1), ("eu-west", 2))), Nearest()),
)
STATES = (
    world(),
    world(drained("eu-west")),
    world(state("us-east", Verdict.DOWN), state("eu-west", Verdict.DOWN)),
    world(*(state(name, Verdict.DOWN) for name in ("us-east", "eu-west", "ap-southeast"))),
    world(drained("us-east", until=NOW + 20)),
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(POLICIES),
    st.sampled_from(tuple(AllDown)),
    st.booleans(),
    st.lists(st.one_of(usual(), st.sampled_from(STATES), st.floats(0, 30), st.just("refresh")), max_size=60),
)
def test_worlds_that_change_and_answers_that_expire_meet_both_alike(
    policies: tuple[object, ...], all_down: AllDown, with_map: bool, steps: list[object]
) -> None:
    made = fleet(policies, all_down=all_down, cookies=SECRETS, services=("www.shop.test", "split.shop.test"))
    known = authority(made, **({"locator": mapped()} if with_map else {}))
    pair = Twice(known)
    for step in steps:
        if isinstance(step, tuple):
            pair.ask(step[0], step[1])
            pair.ask(step[0], step[1])
        elif isinstance(step, float):
            pair.clock.advance(step)
        elif step == "refresh":
            pair.slow.refresh(), pair.fast.refresh()
        else:
            known = replace(known, world=step)
            pair.use(known)
    pair.assert_same_counts()


def test_without_a_map_places_are_left_to_the_responder_until_there_is_one() -> None:
    locator = Locator(GeoSettings())
    pair = twice(locator=locator)
    for _ in range(3):
        pair.ask(question("www.shop.test"))
    assert not pair.repeated
    locator.map_networks()
    for _ in range(3):
        pair.ask(question("www.shop.test"))
    assert pair.repeated == 2


def test_a_client_subnet_counts_from_whom_it_is_trusted() -> None:
    trusted = ClientSubnetSettings(trusted=(ip_network("198.51.100.0/24"),))
    pair = twice(client_subnet=trusted)
    for address in ("81.2.69.0", "203.0.113.0"):
        packet = question("www.shop.test", A, subnet(address, 24))
        echoed = [len(pair.ask(packet, source) or b"") for source in ("198.51.100.1", SOURCE) * 2]
        assert echoed == [echoed[0], echoed[0] - 11] * 2
    assert pair.repeated >= 4
    pair.assert_same_counts()


@pytest.mark.parametrize(
    "more",
    [{"client_subnet": ClientSubnetSettings(enabled=False)}, {"cookies": CookieSettings(enabled=False)}],
    ids=["client subnets", "cookies"],
)
def test_what_is_switched_off_is_not_minded(more: dict[str, object]) -> None:
    pair = twice(**more)
    malformed = option(8, b"\0\1\xff\0" if "client_subnet" in more else b"\0\1\x18\0\x51\x02\x45")
    for data in (CLIENT, CLIENT + bytes(16), b"123" if "cookies" in more else CLIENT):
        packet = question("www.shop.test", A, malformed, option(10, data))
        for _ in range(2):
            answer = pair.ask(packet)
            assert answer is not None
            assert not answer[3] & 15
    assert pair.repeated


def test_rules_and_answers_are_swapped_as_one() -> None:
    pair = twice()
    packet = question("www.shop.test")
    for _ in range(2):
        pair.ask(packet)
    counted = pair.fast.served
    pair.use(authority(fleet(cookies=SECRETS, udp_payload=700), world(drained("us-east")), mapped()))
    assert pair.fast.served == counted
    for _ in range(2):
        answer = pair.ask(packet)
    assert answer is not None
    assert (700).to_bytes(2) in answer[-10:]
    assert pair.repeated == 2
    pair.assert_same_counts()


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "MOST_SHAPES", 3)
    monkeypatch.setattr(quick, "MOST_TRUSTED", 2)
    monkeypatch.setattr(known_answers, "MOST_ENTRIES", 3)
    monkeypatch.setattr(known_answers, "MOST_PASSING", 2)
    monkeypatch.setattr(known_answers, "MOST_SHARES", 2)
    trusted = ClientSubnetSettings(trusted=(ip_network("198.51.100.0/24"),))
    pair = twice(Weighted((("us-east", 1), ("eu-west", 2))), client_subnet=trusted)
    for turn in range(3):
        for number in range(8):
            for name in ("www.shop.test", "txt.shop.test", f"no{number}.shop.test", "alias.shop.test"):
                for rtype in (A, TXT, AAAA):
                    source = f"198.51.{100 + number % 2}.{number}"
                    pair.ask(
                        question(name, rtype, subnet(f"81.2.{number}.0", 24), payload=600 + number), source
                    )
        assert turn == 0 or pair.repeated
    pair.assert_same_counts()


def test_what_the_cache_drove_out_is_repeated_again_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gslb.dns.answer_cache.MOST_ENTRIES", 2)
    pair = twice()
    for name in ("alias", "alias", "ns1", "deep.er", "alias"):
        pair.ask(question(f"{name}.shop.test"))
    before = pair.repeated
    pair.ask(question("alias.shop.test"))
    assert pair.repeated == before + 1
