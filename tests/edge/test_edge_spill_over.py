"""Where a request goes that has no server in its region: what is known of others, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from fleets import NOW, PLACES, client, fleet, fleets, worlds
from hypothesis import given
from hypothesis import strategies as st

from edge.neighbours import spilling_pools
from edge.spill_over import Neighbourhood, Ranking, neighbourhood, takes
from gslb.balancing import Balancing
from gslb.fleet import AllDown, Fleet, Pool, Region, Server, SocketAddress, SpillOver
from gslb.policy.decision import decide
from gslb.policy.failover import Failover
from gslb.policy.nearest import Nearest
from gslb.world import Override, OverrideKind, PoolReport, RegionState, Report, Verdict, World

WWW = "www.shop.test"
LONDON, TOKYO, NEW_YORK = "10.1.0.1", "10.2.0.1", "10.3.0.1"
WEST, EAST, ASIA = "eu-west", "us-east", "ap-southeast"
NOTHING_KNOWN = Neighbourhood()
FORCED_DOWN, FORCED_UP, DRAINED = (
    Override(EAST, kind, "ana", "", NOW)
    for kind in (OverrideKind.FORCED_DOWN, OverrideKind.FORCED_UP, OverrideKind.DRAIN)
)


def with_servers(made: Fleet, pools: Mapping[str, Sequence[str]]) -> Fleet:
    """pools: by name, the regions that have a server of it."""

    def stocked(region: Region) -> Region:
        address = SocketAddress("10.9.0.1", 80)
        servers = {
            name: (Server(region.name, name, address),) if region.name in regions else ()
            for name, regions in pools.items()
        }
        return replace(region, servers=servers)

    check = next(iter(made.regions.values())).check
    return replace(
        made,
        regions={name: stocked(region) for name, region in made.regions.items()},
        pools={name: Pool(name, Balancing(), check) for name in pools},
    )


def ranking(own: str = WEST, *, policies: Sequence[object] = (Nearest(),), **options: object) -> Ranking:
    """Of a fleet in which all regions have a pool `web`."""
    return Ranking.of(with_servers(fleet(policies, **options), {"web": tuple(PLACES)}), own)


def report(region: str, *, healthy: int = 1, utilisation: float | None = None, edge: str = "1") -> Report:
    pools = (PoolReport("web", healthy, 2),)
    return Report(region, edge, NOW, 1.0, 0, 0.0, 100.0, utilisation, pools)


def world_of(*reports: Report, **states: RegionState) -> World:
    known = {name: states.get(name.replace("-", "_"), RegionState(name)) for name in PLACES}
    by_region: dict[str, tuple[Report, ...]] = {}
    for each in reports:
        by_region[each.region] = (*by_region.get(each.region, ()), each)
    return World(NOW, known, by_region)


# What is known.


def test_of_what_nobody_has_heard_nothing_is_held_against_it() -> None:
    assert neighbourhood(world_of(), WEST, ["web"]) == NOTHING_KNOWN


@pytest.mark.parametrize(
    ("state", "away"),
    [
        (RegionState(EAST, Verdict.UP), False),
        (RegionState(EAST, Verdict.UNKNOWN), False),
        (RegionState(EAST, Verdict.DOWN), True),
        (RegionState(EAST, Verdict.UP, override=DRAINED), True),
        (RegionState(EAST, Verdict.UP, override=FORCED_DOWN), True),
        (RegionState(EAST, Verdict.DOWN, override=FORCED_UP), False),
    ],
)
def test_a_region_to_which_dns_sends_nobody_is_away(state: RegionState, away: bool) -> None:
    known = neighbourhood(world_of(us_east=state), WEST, ["web"])
    assert known.away == (frozenset({EAST}) if away else frozenset())


@pytest.mark.parametrize(
    ("reports", "full"),
    [
        ([report(EAST)], False),
        ([report(EAST, healthy=0)], True),
        # One edge may have lost its way to servers that the others see.
        ([report(EAST, healthy=0), report(EAST, edge="2")], False),
        ([report(EAST, utilisation=0.99)], False),
        ([report(EAST, utilisation=1.0)], True),
        # Of several edges, each tells its own part of what is in use.
        ([report(EAST, utilisation=0.6), report(EAST, utilisation=0.6, edge="2")], True),
    ],
)
def test_a_pool_without_healthy_servers_or_room_is_full(reports: list[Report], full: bool) -> None:
    known = neighbourhood(world_of(*reports), WEST, ["web"])
    assert known == Neighbourhood(full=frozenset({(EAST, "web")}) if full else frozenset())


def test_only_the_pools_asked_about_are_told_of_and_never_the_own_region() -> None:
    down = RegionState(WEST, Verdict.DOWN)
    world = world_of(report(EAST, healthy=0), report(WEST, healthy=0), eu_west=down)
    assert neighbourhood(world, WEST, []) == NOTHING_KNOWN
    assert neighbourhood(world, WEST, ["web"]) == Neighbourhood(full=frozenset({(EAST, "web")}))
    assert neighbourhood(world, EAST, ["web"]) == Neighbourhood(frozenset({WEST}), frozenset({(WEST, "web")}))


# In which order.


@given(st.data())
def test_regions_come_in_the_order_in_which_dns_would_send_the_client_there(data: st.DataObject) -> None:
    drawn = data.draw(fleets())
    made = with_servers(drawn, {"web": tuple(drawn.regions)})
    own = data.draw(st.sampled_from(sorted(made.regions)))
    world = data.draw(worlds(made))
    who = client(f"10.{data.draw(st.integers(0, 4))}.{data.draw(st.integers(0, 255))}.1")
    order = Ranking.of(made, own).regions(WWW, who, neighbourhood(world, own, ["web"]), "web")
    decision = decide(made, made.services[WWW], who, world, NOW)
    assert order == [
        name
        for name in decision.order
        if name != own and world.region(name).eligible and made.regions[name].edges
    ]


@pytest.mark.parametrize("all_down", list(AllDown))
def test_where_all_others_are_away_nobody_is_asked_whatever_dns_does_then(all_down: AllDown) -> None:
    here = ranking(all_down=all_down)
    assert here.regions(WWW, client(LONDON), Neighbourhood(frozenset({EAST, ASIA})), "web") == []


@given(st.data())
def test_no_region_is_asked_that_is_the_own_or_away_or_full_or_without_the_pool(data: st.DataObject) -> None:
    names = sorted(PLACES)
    own = data.draw(st.sampled_from(names))
    having = data.draw(st.sets(st.sampled_from(names)))
    away = frozenset(data.draw(st.sets(st.sampled_from(names))))
    full = frozenset(data.draw(st.sets(st.tuples(st.sampled_from(names), st.sampled_from(["web", "cart"])))))
    made = with_servers(fleet(), {"web": tuple(having), "cart": tuple(names)})
    host = data.draw(st.sampled_from([WWW, "elsewhere.test"]))
    known = Neighbourhood(away, full)
    order = Ranking.of(made, own).regions(host, client(TOKYO), known, "web")
    allowed = having - {own} - away - {name for name, pool in full if pool == "web"}
    assert sorted(order) == sorted(allowed)


@pytest.mark.parametrize("host", ["elsewhere.test", "", "192.0.2.1"])
@pytest.mark.parametrize(
    ("address", "expected"),
    [(LONDON, [WEST, EAST, ASIA]), (TOKYO, [ASIA, WEST, EAST]), (NEW_YORK, [EAST, WEST, ASIA])],
)
def test_hosts_that_are_no_service_go_by_distance(host: str, address: str, expected: list[str]) -> None:
    last_resort = (Failover(order=(ASIA, EAST, WEST)),)
    for own in PLACES:
        here = ranking(own, policies=last_resort)
        order = here.regions(host, client(address), NOTHING_KNOWN, "web")
        assert order == [name for name in expected if name != own]


def test_a_service_goes_only_to_its_own_regions() -> None:
    made = with_servers(fleet(), {"web": tuple(PLACES)})
    service = replace(made.services[WWW], regions=(WEST, ASIA))
    here = Ranking.of(replace(made, services={WWW: service}), WEST)
    assert here.regions(WWW, client(LONDON), NOTHING_KNOWN, "web") == [ASIA]


def test_a_region_of_somebody_elses_is_no_neighbour() -> None:
    made = with_servers(fleet(), {"web": tuple(PLACES)})
    foreign = replace(made.regions[EAST], edges=(), hostname="cdn.test")
    here = Ranking.of(replace(made, regions={**made.regions, EAST: foreign}), WEST)
    assert here.regions("elsewhere.test", client(LONDON), NOTHING_KNOWN, "web") == [ASIA]
    assert not takes(foreign, "web")


def test_a_region_that_declares_a_pool_without_servers_cannot_take_it() -> None:
    region = with_servers(fleet(), {"web": (WEST,)}).regions[EAST]
    assert region.servers["web"] == ()
    assert not takes(region, "web")
    assert not takes(region, "nobody")


def test_pools_that_spill_over_are_known_by_name() -> None:
    made = with_servers(fleet(), {"web": (WEST,), "cart": (WEST,), "pay": (WEST,)})
    chosen = {"cart": SpillOver.ON_FAILURE, "pay": SpillOver.ON_SATURATION}
    pools = {
        name: replace(pool, spill_over=chosen.get(name, SpillOver.OFF)) for name, pool in made.pools.items()
    }
    assert spilling_pools(replace(made, pools=pools)) == ("cart", "pay")
