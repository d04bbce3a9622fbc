"""Whoever answers, the compiled loop or Python: not one byte differs, before it was known and afterwards."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address, ip_network
from random import Random

import dns.edns
import dns.message
import pytest
from all_kinds import locator, seeds, some_address, some_fleet, some_state, some_world, without_scope
from fleets import NOW, authority, drained, fleet, world
from fuzz.checker import everything
from fuzz.corpus import queries
from hypothesis import given, settings

pytest.importorskip("gslb.dns.compiled.answering", reason="the compiled modules are not built")

from both_paths import AAAA, NODE, PORT, SOA, SOURCE, TXT, A, Both, asked, option, query

from gslb.admin.documents import reply_document
from gslb.clock import FakeClock
from gslb.dns import outcomes
from gslb.dns.authority import Authority
from gslb.dns.outcomes import STALE
from gslb.dns.query import read_query
from gslb.dns.responder import Responder
from gslb.fleet import (
    ClientSubnetSettings,
    CookieSettings,
    Fleet,
    RateLimitSettings,
    Secret,
    TimeToLive,
)
from gslb.policy.decision import Decision
from gslb.world import World

SOURCES = (SOURCE, "81.2.69.160", "2001:db8:1::7", "2a00:1450:4001:829::1", "fe80::7%eth0", "2002:a01:203::1")


# Packets.

CORPUS = tuple(queries())


HEAD = struct.pack("!6H", 7, 0, 1, 0, 0, 0)
SUBNETS = (
    b"",
    b"\0\1\x18",
    b"\0\1\x18\0\x0a\1",
    b"\0\1\x18\0\x0a\1\2\3",
    b"\0\1\x17\0\x0a\1\3",
    b"\0\1\x18\1\x0a\1\2",
    b"\0\1\x21\0\x0a\1\2\3\4",
    b"\0\2\x81\0" + bytes(17),
    b"\0\3\x18\0\x0a\1\2",
    b"\0\0\0\0\0",
)
HOSTILE = (
    b"",
    bytes(11),
    bytes(12),
    b"\xff" * 4096,
    HEAD + b"\xc0\x0c\0\1\0\1",
    HEAD + b"\x3f" * 300,
    HEAD + b"\1a" * 128 + b"\0\0\1\0\1",
    struct.pack("!6H", 7, 0, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF) + bytes(500),
    *(query("www.shop.test", A, option(8, data)) for data in SUBNETS),
    *(query("www.shop.test", A, option(10, bytes(length))) for length in (0, 7, 9, 15, 41, 200)),
    query("www.shop.test", A, option(3, b"")),
    asked("www.shop.test") + b"\0",
    asked("www.shop.test")[:-1],
)


def damaged(random: Random) -> bytes:
    """A query of the corpus after some accidents."""
    packet = bytearray(random.choice(CORPUS))
    for _ in range(random.choice((0, 1, 1, 2, 4))):
        at = random.randrange(len(packet) + 1)
        kind = random.randrange(6)
        if kind == 0 and at < len(packet):
            packet[at] ^= 1 << random.randrange(8)
        elif kind == 1 and at < len(packet):
            packet[at] = random.choice((0, 1, 8, 10, 41, 63, 64, 0xC0, 0xFF))
        elif kind == 2:
            packet[at:] = random.choice((b"", random.choice(CORPUS)[at:], random.randbytes(20)))
        elif kind == 3:
            packet[at:at] = packet[at : at + random.randrange(30)]
        elif kind == 4 and len(packet) > 12:
            packet[random.choice((5, 7, 9, 11))] = random.choice((0, 1, 1, 2, 255))
        else:
            packet += random.randbytes(random.randrange(12))
    return bytes(packet)


@pytest.fixture(scope="module")
def both() -> Both:
    made = everything(RateLimitSettings(enabled=False))
    return Both(authority(made, locator=locator(mapped=True)))


def test_of_the_whole_corpus_only_what_is_out_of_the_ordinary_is_left_to_python(both):
    reasons = Counter(both.check(packet, source) for packet in CORPUS for source in SOURCES)
    assert reasons[""] > sum(reasons.values()) / 2
    assert set(reasons) - {""} == {
        "it is malformed",
        "it is no question of the class IN",
        "it is refused",
        "it is signed",
        "it wants to know who answers",
        "its client is on no span of the map",
        "its client subnet says nothing",
        "its type is none of data",
    }


def test_hostile_packets_are_answered_alike(both):
    for source in SOURCES:
        for port in (PORT, 0, 7, 464):
            for packet in HOSTILE:
                both.check(packet, source, port)


@settings(max_examples=60)
@given(seeds)
def test_damaged_packets_are_answered_alike(both, random):
    for _ in range(20):
        both.check(damaged(random), random.choice(SOURCES), random.choice((PORT, PORT, 53, 7, 0)))


@settings(max_examples=60)
@given(seeds)
def test_noise_is_answered_alike(both, random):
    for _ in range(20):
        head = struct.pack("!6H", 7, random.choice((0, 0x0100, 0x8000)), 1, 0, 0, random.randrange(2))
        both.check(random.choice((b"", head)) + random.randbytes(random.randrange(60)))


# Fleets and worlds.

STATIC = (
    ("txt.shop.test", TXT),
    ("ns1.shop.test", A),
    ("ns1.shop.test", AAAA),
    ("nothing.shop.test", A),
    ("x.wild.shop.test", TXT),
    ("shop.test", SOA),
    ("host.sub.shop.test", A),
    ("www.old.shop.test", A),
)
SERVICES = ("www.shop.test", "twin.shop.test", "*.apps.shop.test")
NAMES = ("www.shop.test", "twin.shop.test", "alias.shop.test", "x.apps.shop.test", "y.apps.shop.test")
COOKIES = CookieSettings(secrets=(Secret("00112233445566778899aabbccddeeff"),))


def some_both(random: Random) -> tuple[Both, list[tuple[bytes, str]]]:
    """A fleet of every kind, and queries about it from everywhere."""
    trusted = random.choice(((), (), (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))))
    subnet = ClientSubnetSettings(enabled=random.random() < 0.9, trusted=trusted)
    made = some_fleet(random, SERVICES, client_subnet=subnet, cookies=COOKIES)
    services = dict(made.services)
    services["twin.shop.test"] = replace(services["www.shop.test"], name="twin.shop.test")
    made = replace(made, services=services)
    pair = Both(authority(made, some_world(random, made), locator(mapped=True)))
    packets = [(asked(name, rtype), random.choice(SOURCES)) for name, rtype in STATIC]
    for name in NAMES:
        for _ in range(6):
            client, rtype = some_address(random), random.choice((A, AAAA))
            length = random.choice((client.max_prefixlen, 24, 20, 0))
            packets.append((asked(name, rtype, client, length), random.choice(SOURCES)))
            packets.append((asked(name, rtype), str(some_address(random))))
    return pair, packets


def next_world(random: Random, made: Fleet, before: World, now: float) -> World:
    if random.random() < 0.4:
        return some_world(random, made, now)
    name = random.choice(list(made.regions))
    return World(now, {**before.regions, name: some_state(random, made, name, at=now)})


@settings(max_examples=8)
@given(seeds)
def test_in_every_world_that_follows_both_answer_alike(random):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outcomes, "AT_ONCE", 1 << 20)
        pair, packets = some_both(random)
        for _ in range(4):
            for packet, source in packets:
                pair.check(packet, source)
            pair.clock.advance(random.choice((0.0, 0.3, 7.4, 95.5)))
            known = pair.authority
            after = next_world(random, known.fleet, known.world, pair.clock.now())
            pair.use(replace(known, world=after))


@settings(max_examples=8)
@given(seeds)
def test_what_is_stale_is_the_world_before_and_ends_after_a_quarter_of_a_second(random):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outcomes, "AT_ONCE", random.choice((0, 1, 3)))
        pair, packets = some_both(random)
        for packet, source in packets:
            pair.answer(packet, source)
        before = pair.authority
        pair.clock.advance(0.7)
        pair.use(replace(before, world=next_world(random, before.fleet, before.world, pair.clock.now())))
        for elapsed in (0.0, STALE / 2, STALE):
            pair.clock.advance(elapsed)
            for packet, source in random.sample(packets, 20):
                known = [pair.authority] if elapsed >= STALE else [pair.authority, before]
                allowed = [without_scope(fresh(each, packet, source, pair.clock)) for each in known]
                assert without_scope(pair.answer(packet, source)) in allowed
                assert without_scope(pair.quickly(packet, source)) in allowed
            if random.random() < 0.5:
                pair.refresh()


def fresh(known: Authority, packet: bytes, source: str, clock: FakeClock) -> bytes | None:
    return Responder(known, clock, NODE).respond(packet, source, PORT)


@settings(max_examples=8)
@given(seeds)
def test_what_is_explained_is_what_the_compiled_loop_answers(random):
    pair, packets = some_both(random)
    for packet, source in packets:
        pair.answer(packet, source)
        answer = pair.outcome(packet, source)
        if answer == "miss":
            continue
        message, query = dns.message.from_wire(answer), read_query(packet)
        name, rtype = message.question[0].name.to_text(), message.question[0].rdtype.name
        client = pair.client_of(query, source)
        reply = pair.authority.explain(name, rtype, client, pair.clock.now())
        document = reply_document(name, rtype, reply)
        assert document["rcode"] == message.rcode().name
        told = [line for rrset in message.answer for line in rrset.to_text().splitlines()]
        assert [line.split() for line in document["answer"]] == [line.split() for line in told]
        if reply.decision is not None and reply.served is not None:
            assert_scope(message, reply.decision)


def assert_scope(message: dns.message.Message, decision: Decision) -> None:
    for each in message.options:
        if isinstance(each, dns.edns.ECSOption) and each.srclen:
            assert each.scopelen == decision.scope


def test_a_ttl_shrinks_with_the_override_that_is_about_to_end():
    made = fleet(ttl=TimeToLive(30, 5, 60), cookies=COOKIES)
    pair = Both(authority(made, world(drained("eu-west", until=NOW + 40.5)), locator(mapped=True)))
    packet = asked("www.shop.test", A, ip_address("81.2.69.160"))
    ttls = []
    for _ in range(12):
        assert pair.check(packet) == ""
        ttls.append(dns.message.from_wire(pair.outcome(packet)).answer[0].ttl)
        pair.clock.advance(4)
    assert ttls == [30, 30, 30, 28, 24, 20, 16, 12, 8, 5, 5, 5]


def some_of_the_corpus(pair: Both, random: Random) -> Counter[str]:
    """Asked of both alike; how the answers were."""
    told = Counter()
    for _ in range(600):
        packet, source = random.choice(CORPUS), random.choice(SOURCES)
        answer = pair.answer(packet, source)
        assert answer == pair.quickly(packet, source) == pair.plain.respond(packet, source, PORT)
        told["silence" if answer is None else "truncated" if answer[2] & 2 else "whole"] += 1
        if random.random() < 0.03:
            pair.clock.advance(0.5)
    return told


def limited_pair(limit: RateLimitSettings) -> Both:
    return Both(authority(everything(limit), locator=locator(mapped=True)))


@pytest.mark.parametrize("slip", [1, 2, 3])
def test_limited_askers_get_and_miss_the_same_answers(slip):
    pair = limited_pair(RateLimitSettings(responses_per_second=6, errors_per_second=3, slip=slip))
    told = some_of_the_corpus(pair, Random(slip))
    assert min(told["silence"] if slip > 1 else 1, told["truncated"], told["whole"]) > 0


@pytest.mark.parametrize("enabled", [False, True], ids=["unlimited", "limited"])
def test_what_is_counted_is_the_same_whoever_answers(enabled):
    pair = limited_pair(RateLimitSettings(enabled=enabled, responses_per_second=6, errors_per_second=3))
    some_of_the_corpus(pair, Random(7))
    assert pair.taught.counters["answered"] > 100
    for counted in ("queries", "silences", "truncations", "responses", "served", "cookies"):
        expected = (counted, getattr(pair.plain, counted))
        assert (counted, getattr(pair.taught, counted)) == expected
        assert (counted, getattr(pair.quick, counted)) == expected
    if enabled:
        limiters = [each.rules.limiter for each in (pair.taught, pair.quick, pair.plain)]
        for counted in ("sent", "slipped", "exempt", "dropped"):
            assert len({repr(getattr(each, counted)) for each in limiters}) == 1


def test_a_service_that_goes_by_places_is_repeated_for_everybody_on_the_map():
    pair = Both(authority(fleet(cookies=COOKIES), locator=locator(mapped=True)))
    random = Random(5)
    for _ in range(200):
        client = some_address(random)
        reason = pair.check(asked("www.shop.test", A, client))
        assert bool(reason) == (pair.vantage(client) == 0)
        assert bool(pair.check(asked("www.shop.test"), str(client))) == bool(reason)
