"""Places of the same rank: whoever is there gets the same answer, in every world there may be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from random import Random

import pytest
from all_kinds import SERVICE, locator, seeds, some_address, some_fleet, some_world
from fleets import NOW, client, fleet, region
from hypothesis import given, settings

from gslb.fleet import Answers, Fleet, GeoSettings, Service
from gslb.geo.location import Coordinates
from gslb.geo.locator import Locator
from gslb.policy import preferences as module
from gslb.policy.base import Client
from gslb.policy.decision import Decision, decide, service_consults
from gslb.policy.geo import Geo, GeoRule
from gslb.policy.intake import coarse_share
from gslb.policy.nearest import Nearest
from gslb.policy.preferences import FEW, HEAD, ORDER, Preferences
from gslb.policy.share import SHARES, share_of
from gslb.policy.weighted import Weighted
from gslb.world import World

SHARES_DRAWN = (0, 7, 4095)


@dataclass(frozen=True)
class Ranked:
    """A client, what tells its place from others, and its ranks; of a service divided by shares no head."""

    client: Client
    place: object
    ranks: tuple[int, ...]


def some_clients(random: Random, how_many: int) -> list[Client]:
    where = locator(mapped=False)
    found = []
    for _ in range(how_many):
        address = some_address(random)
        share = random.choice((share_of(address), *SHARES_DRAWN))
        found.append(Client(address, where.locate(address), share))
    return found


def place_of(who: Client) -> object:
    return (who.located.location, who.located.network, who.located.carrier)


def ranked(preferences: Preferences, clients: Iterable[Client]) -> list[Ranked]:
    levels = (ORDER,) if preferences.divided else (HEAD, ORDER)
    return [
        Ranked(who, place_of(who), tuple(preferences.rank(level, place_of(who), who) for level in levels))
        for who in clients
    ]


def some_ranked(random: Random) -> tuple[Fleet, Service, list[Ranked], Preferences]:
    """Clients of a service that looks at where they are, ranked for it."""
    while True:
        made = some_fleet(random)
        service = made.services[SERVICE]
        if service_consults(service).location:
            break
    preferences = Preferences(1, made, service)
    return made, service, ranked(preferences, some_clients(random, 40)), preferences


def told(decision: Decision) -> tuple[object, ...]:
    """All of a decision that an answer or its upkeep follows from, but the scope."""
    return (
        decision.chosen,
        decision.answering,
        decision.alias,
        decision.healthy,
        decision.ttl,
        decision.shrinks_at,
        decision.looked_at,
    )


def share_that_counts(service: Service, who: Client, decision: Decision) -> int:
    if service_consults(service).share:
        return who.share
    return coarse_share(who.share) if decision.consulted.share else -1


@settings(max_examples=100)
@given(seeds)
def test_in_every_world_clients_of_one_order_get_one_answer(random):
    made, service, clients, _ = some_ranked(random)
    for _ in range(3):
        known = some_world(random, made)
        answers = defaultdict(set)
        for each in clients:
            decision = decide(made, service, each.client, known, NOW)
            counts = share_that_counts(service, each.client, decision)
            answers[each.ranks[-1], counts].add(repr(told(decision)))
        assert all(len(found) == 1 for found in answers.values())


@settings(max_examples=100)
@given(seeds)
def test_where_one_region_is_all_that_is_looked_at_clients_of_one_head_get_one_answer(random):
    made, service, clients, preferences = some_ranked(random)
    if preferences.divided:
        return
    for _ in range(3):
        known = some_world(random, made)
        answers = defaultdict(set)
        for each in clients:
            decision = decide(made, service, each.client, known, NOW)
            further = len(decision.looked_at) > 1 or decision.parted
            share = each.client.share if service_consults(service).share else -1
            answers[each.ranks[HEAD], share].add((further, repr(told(decision))))
        for found in answers.values():
            # Either everybody looks further, or nobody does, and all are told the same.
            assert len({further for further, _ in found}) == 1
            assert len(found) == 1 or all(further for further, _ in found)


@settings(max_examples=100)
@given(seeds)
def test_an_example_of_an_order_is_answered_as_all_who_have_it(random):
    made, service, clients, preferences = some_ranked(random)
    known = some_world(random, made)
    for each in clients:
        share = random.randrange(SHARES)
        example = preferences.example(each.ranks[-1], share)
        assert example.share == share
        who = replace(each.client, share=share)
        expected, found = (decide(made, service, asker, known, NOW) for asker in (who, example))
        assert told(found) == told(expected)


@settings(max_examples=100)
@given(seeds)
def test_below_a_head_are_the_orders_that_begin_with_it(random):
    made, service, clients, preferences = some_ranked(random)
    if preferences.divided:
        return
    below = defaultdict(set)
    for each in clients:
        below[each.ranks[HEAD]].add(each.ranks[ORDER])
    for head in range(1, len(service.regions) + 1):
        orders = preferences.below(head)
        assert len(orders) == len(set(orders))
        assert set(orders) == below[head]
    # A head is a region's number: of the one that is chosen as long as nothing is known against any.
    for each in clients:
        chosen = decide(made, service, each.client, World(NOW, {}), NOW).chosen
        assert service.regions[each.ranks[HEAD] - 1] == chosen


def places(how_many: int) -> Fleet:
    """Regions along the equator, one degree apart, and a service for whoever is nearest."""
    made = {f"r{at}": region(f"r{at}", Coordinates(0, at), ("192.0.2.1",)) for at in range(how_many)}
    return fleet((Nearest(),), regions=made)


def at_degree(longitude: float) -> Client:
    known = client("10.1.0.1")
    location = replace(known.location, coordinates=Coordinates(0, longitude))
    return replace(known, located=replace(known.located, location=location))


def test_the_number_of_a_rank_fits_where_the_compiled_loop_has_room_for_it():
    made = places(5)
    preferences = Preferences(1, made, made.services[SERVICE])
    found = ranked(preferences, [at_degree(number / 7) for number in range(-50, 100)])
    assert {rank for each in found for rank in each.ranks} <= set(range(1, 1 << 24))
    assert {each.ranks[HEAD] for each in found} == {1, 2, 3, 4, 5}


def test_a_place_is_ranked_once(monkeypatch):
    made = places(3)
    preferences = Preferences(1, made, made.services[SERVICE])
    first = ranked(preferences, [at_degree(0.3)])
    monkeypatch.setattr(module, "rankings_of", None)
    assert ranked(preferences, [at_degree(0.3)]) == first


def test_of_many_regions_an_order_is_worked_out_only_when_it_is_asked_for():
    made = places(FEW + 1)
    preferences = Preferences(1, made, made.services[SERVICE])
    assert preferences.rank(HEAD, "here", at_degree(3.2)) == 4
    assert preferences.known[ORDER] == {}
    assert preferences.below(4) == ()
    order = preferences.rank(ORDER, "here", at_degree(3.2))
    assert preferences.below(4) == (order,)
    assert preferences.rank(ORDER, "there", at_degree(3.8)) != order


def test_places_that_are_forgotten_are_ranked_as_before():
    made = places(4)
    preferences = Preferences(1, made, made.services[SERVICE])
    preferences.most_places = 16
    clients = [at_degree(number / 7) for number in range(30)]
    first = ranked(preferences, clients)
    assert sum(map(len, preferences.known)) <= 17
    assert ranked(preferences, clients) == first


def test_where_shares_divide_a_place_has_no_head_and_ranks_tell_places_alone():
    made = fleet((Weighted((("us-east", 1), ("eu-west", 1))), Nearest()))
    preferences = Preferences(1, made, made.services[SERVICE])
    (one, other) = ranked(preferences, [replace(client("10.1.0.1"), share=share) for share in (1, 2)])
    assert one.ranks == other.ranks
    assert preferences.known[HEAD] == {}
    (far,) = ranked(preferences, [client("10.2.0.1")])
    assert far.ranks != one.ranks


@pytest.mark.parametrize("rotate", [False, True])
def test_rotation_leaves_heads_to_places(rotate):
    made = fleet()
    service = replace(made.services[SERVICE], answers=Answers(rotate=rotate))
    preferences = Preferences(1, made, service)
    assert not preferences.divided
    assert preferences.rank(HEAD, "here", client("10.1.0.1")) == 2


def test_teredo_clients_that_only_a_rule_on_their_server_tells_apart_have_ranks_of_their_own():
    rules = (
        GeoRule(("ap-southeast",), network=(ip_network("2001:0:1234::/48"),)),
        # Holds both, and more exactly; but its other condition does not hold.
        GeoRule(("eu-west",), country=frozenset({"JP"}), network=(ip_network("10.0.0.0/8"),)),
    )
    made = fleet((Geo(rules),))
    where = Locator(GeoSettings(), made.networks())
    clients = [
        Client(address, where.locate(address), 0)
        # Both carry 10.1.2.3, inverted (RFC 4380 4).
        for address in map(ip_address, ("2001:0:1234::f5fe:fdfc", "2001:0:5678::f5fe:fdfc"))
    ]
    one, other = ranked(Preferences(1, made, made.services[SERVICE]), clients)
    assert [each.ranks[HEAD] for each in (one, other)] == [3, 1]


def test_an_address_that_says_nothing_has_a_rank_too():
    made = fleet()
    preferences = Preferences(1, made, made.services[SERVICE])
    nowhere = client("192.168.0.1")
    assert nowhere.address == ip_address("192.168.0.1")
    assert preferences.rank(HEAD, "nowhere", nowhere) == 1
