"""No answer claims more clients than surely get it (RFC 7871 7.2.1): the proof, packet by packet."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv6Network, ip_address, ip_network
from itertools import pairwise

import pytest
from client_maps import BITS, Stage, around, stages
from fleets import NOW, authority, fleet, worlds
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gslb.clock import FakeClock
from gslb.dns.authority import Authority
from gslb.dns.name import from_text
from gslb.dns.responder import Responder
from gslb.fleet import ClientSubnetSettings
from gslb.geo import transition
from gslb.geo.location import IPAddress, IPNetwork
from gslb.policy.weighted import Weighted

RESOLVER = "10.3.9.9"
A, AAAA, TXT = 1, 28, 16
CLIENT_SUBNET = 8
OPT_HEAD = struct.pack("!BHH", 0, 41, 1232)


@pytest.fixture(autouse=True)
def _no_query_fails() -> Iterator[None]:
    """SERVFAIL is the same for everybody, and would prove anything."""
    with capture_logs() as logged:
        yield
    assert not [line for line in logged if line["log_level"] == "error"]


@dataclass(frozen=True)
class Told:
    """What an answer says, byte for byte but for the client subnet, and for whom."""

    says: tuple[bytes, ...]
    scope: int | None


def responder(known: Authority) -> Responder:
    return Responder(known, FakeClock(NOW))


def ask(
    who: Responder,
    client: IPAddress | None,
    length: int | None = None,
    *,
    name: str = "www.shop.test",
    rtype: int = A,
    resolver: str = RESOLVER,
) -> Told:
    """Ask for a client network, by default of a single address; None asks without the option."""
    sent = b""
    if client is not None:
        length = BITS[client.version] if length is None else length
        network = around(client, length).network_address.packed[: (length + 7) // 8]
        sent = struct.pack("!HBB", 1 if client.version == 4 else 2, length, 0) + network
    option = struct.pack("!HH", CLIENT_SUBNET, len(sent)) + sent if sent else b""
    opt = OPT_HEAD + struct.pack("!IH", 0, len(option)) + option
    question = from_text(name) + struct.pack("!HH", rtype, 1)
    wire = who.respond(struct.pack("!6H", 7, 0, 1, 0, 0, 1) + question + opt, resolver)
    assert wire is not None
    message, options = apart(wire)
    told = options.pop(CLIENT_SUBNET, None)
    says = (message, *(struct.pack("!H", code) + data for code, data in options.items()))
    if told is None:
        return Told(says, None)
    assert sent, "an option in the answer to a query without one (RFC 7871 7.2.2)"
    assert (told[:3], told[4:]) == (sent[:3], sent[4:]), "family, source prefix and address come back"
    return Told(says, told[3])


def apart(wire: bytes) -> tuple[bytes, dict[int, bytes]]:
    """An answer without its OPT, which is its last record, and the options by code."""
    start = wire.rindex(OPT_HEAD)
    position, options = start + len(OPT_HEAD) + 6, {}
    while position < len(wire):
        code, length = struct.unpack_from("!HH", wire, position)
        options[code] = wire[position + 4 : position + 4 + length]
        position += 4 + length
    return wire[:start], options


def claimed(client: IPAddress, told: Told) -> IPNetwork:
    assert told.scope is not None
    return around(client, told.scope)


def inside(network: IPNetwork, count: int, dice: random.Random) -> list[IPAddress]:
    """The first and the last address of a network, and some between."""
    first, size = int(network.network_address), network.num_addresses
    numbers = [first, first + size - 1, *(first + dice.randrange(size) for _ in range(count))]
    return [type(network.network_address)(number) for number in numbers]


def check_that_scopes_are_a_partition(told: dict[IPAddress, Told]) -> None:
    """Any two claimed networks are disjoint, or are one and say the same.

    Sorted, a network that overlaps any other one overlaps its neighbour: so neighbours are enough.
    """
    for version in (4, 6):
        claims = sorted(
            ((claimed(client, each), each) for client, each in told.items() if client.version == version),
            key=lambda claim: (int(claim[0].network_address), claim[0].prefixlen),
        )
        for (first, one), (second, other) in pairwise(claims):
            assert not first.overlaps(second) or (first, one) == (second, other)


names = st.sampled_from(("www.shop.test", "alias.shop.test"))
types = st.sampled_from((A, AAAA))
dices = st.integers(0, 2**32).map(random.Random)
a_few = settings(max_examples=60, deadline=None, phases=set(Phase) - {Phase.explain})


@a_few
@given(stages(), names, types, dices)
def test_every_client_inside_a_scope_gets_the_answer_that_claims_it(
    stage: Stage, name: str, rtype: int, dice: random.Random
) -> None:
    who = responder(stage.authority)
    told: dict[IPAddress, Told] = {}
    for client in dice.sample(stage.edges, min(25, len(stage.edges))):
        answer = told[client] = ask(who, client, name=name, rtype=rtype)
        network = claimed(client, answer)
        for other in [*inside(network, 2, dice), *(edge for edge in stage.edges if edge in network)]:
            if other not in told:
                told[other] = ask(who, other, name=name, rtype=rtype)
            assert told[other] == answer, f"{other} is inside {network}, the scope told to {client}"
    check_that_scopes_are_a_partition(told)


@a_few
@given(stages(), st.data(), names, types, dices)
def test_the_cache_never_gives_a_client_the_answer_of_another(
    stage: Stage, data: st.DataObject, name: str, rtype: int, dice: random.Random
) -> None:
    """Asked in any order, twice, and again when the world has changed: always what a first query gets."""
    changed = replace(stage.authority, world=data.draw(worlds(stage.authority.fleet)))
    who = responder(stage.authority)
    clients = dice.sample(stage.edges, min(12, len(stage.edges)))
    for known in (stage.authority, changed):
        who.use(known)
        cold = {client: ask(responder(known), client, name=name, rtype=rtype) for client in clients}
        for client in dice.sample(clients * 2, len(clients) * 2):
            assert ask(who, client, name=name, rtype=rtype) == cold[client]
    assert who.hits


@a_few
@given(stages(), st.data(), names, types)
def test_a_client_network_is_answered_as_its_first_address_and_its_length_comes_back(
    stage: Stage, data: st.DataObject, name: str, rtype: int
) -> None:
    """Shorter than the scope or longer: what the bits do not tell counts as zero (RFC 7871 7.1.2)."""
    who = responder(stage.authority)
    for client in data.draw(st.lists(st.sampled_from(stage.edges), min_size=5, max_size=5)):
        length = data.draw(st.integers(1, BITS[client.version]))
        network = around(client, length)
        told = ask(who, client, length, name=name, rtype=rtype)
        assert told == ask(who, network.network_address, name=name, rtype=rtype)


@a_few
@given(stages(), st.data(), names, types)
def test_without_a_client_subnet_the_resolver_itself_is_the_client(
    stage: Stage, data: st.DataObject, name: str, rtype: int
) -> None:
    """No option, or one of no bits, whose answer holds for this resolver alone, scope 0 (RFC 7871 7.1.2)."""
    who = responder(stage.authority)
    for resolver in data.draw(st.lists(st.sampled_from(stage.edges), min_size=5, max_size=5)):
        known = ask(who, resolver, name=name, rtype=rtype)
        bare = ask(who, None, name=name, rtype=rtype, resolver=str(resolver))
        assert bare == Told(known.says, None)
        nothing = data.draw(st.sampled_from((ip_address("0.0.0.0"), ip_address("::"))))
        hidden = ask(who, nothing, 0, name=name, rtype=rtype, resolver=str(resolver))
        assert hidden == Told(known.says, 0)


STATIC = (
    ("txt.shop.test", TXT),
    ("shop.test", A),
    ("www.shop.test", TXT),
    ("nothing.shop.test", A),
    ("far.shop.test", A),
    ("host.sub.shop.test", A),
    ("www.old.shop.test", A),
    ("x.wild.shop.test", TXT),
    ("elsewhere.test", A),
)


@a_few
@given(stages(), st.data(), st.sampled_from(STATIC))
def test_what_is_the_same_for_everybody_says_so_with_scope_0(
    stage: Stage, data: st.DataObject, question: tuple[str, int]
) -> None:
    """Static data, referrals, no such name, no data, and names that are not ours."""
    name, rtype = question
    who = responder(stage.authority)
    clients = data.draw(st.lists(st.sampled_from(stage.edges), min_size=2, max_size=5))
    told = {ask(who, client, name=name, rtype=rtype) for client in clients}
    assert len(told) == 1
    assert {each.scope for each in told} == {0}


@a_few
@given(stages(), st.data(), types)
def test_an_alias_has_the_scope_of_the_service_it_leads_to(
    stage: Stage, data: st.DataObject, rtype: int
) -> None:
    who = responder(stage.authority)
    for client in data.draw(st.lists(st.sampled_from(stage.edges), max_size=5)):
        alias = ask(who, client, name="alias.shop.test", rtype=rtype)
        assert alias.scope == ask(who, client, rtype=rtype).scope


@pytest.mark.parametrize("network", [transition.NAT64, transition.IPV4_MAPPED], ids=str)
def test_a_split_beside_a_transition_network_claims_nothing_of_it(network: IPv6Network) -> None:
    """The /48 around such an address is not in one share: part of it carries IPv4 addresses."""
    who = responder(authority(fleet([Weighted((("us-east", 1), ("eu-west", 1)))])))
    beside = network.broadcast_address + 1
    assert not claimed(beside, ask(who, beside)).overlaps(network)


JAPAN = ip_address("10.2.7.0")


@pytest.mark.parametrize(("resolver", "trusted"), [("192.0.2.1", True), ("192.0.2.2", False)])
def test_a_client_subnet_counts_only_from_those_who_are_trusted(resolver: str, trusted: bool) -> None:
    settled = ClientSubnetSettings(trusted=(ip_network("192.0.2.1/32"), ip_network("2001:db8::/32")))
    who = responder(authority(fleet(client_subnet=settled)))
    told = ask(who, JAPAN, 24, resolver=resolver)
    if trusted:
        assert told.scope == 16
        assert told == ask(responder(authority()), JAPAN, 24)
    else:
        assert told == ask(who, None, resolver=resolver)
