"""What is declared, found and said of servers comes to one fleet, the same for whoever puts it together."""

from __future__ import annotations

import random

from edge_stage import REGION, make_fleet
from hypothesis import given
from hypothesis import strategies as st

from edge.changes import lines
from edge.overlay import idle, overlay
from gslb.fleet import Fleet, Server, ServerMode, SocketAddress
from gslb.server_change import ServerChange, next_end

A, B, C, D = (SocketAddress("10.0.0.1", port) for port in (1, 2, 3, 4))
FLEET = make_fleet({"web": [(A, 3), B], "cart": [A]})
NOW = 1000.0
ADDRESSES = st.builds(SocketAddress, st.sampled_from(("10.0.0.1", "10.0.0.2", "::1")), st.integers(1, 4))
CHANGES = st.lists(
    st.builds(
        ServerChange,
        region=st.sampled_from((REGION, "elsewhere")),
        pool=st.sampled_from(("web", "cart", "gone")),
        address=ADDRESSES,
        mode=st.none() | st.sampled_from(ServerMode),
        weight=st.none() | st.integers(1, 10_000),
        added=st.booleans(),
        removed=st.booleans(),
        until=st.none() | st.floats(NOW - 10, NOW + 10),
    ),
    unique_by=lambda change: (change.region, change.pool, change.address),
)
FOUND = st.dictionaries(st.sampled_from(("web", "cart", "gone")), st.lists(ADDRESSES, max_size=5))


def change(address: SocketAddress, pool: str = "web", **said: object) -> ServerChange:
    return ServerChange(REGION, pool, address, **said)  # type: ignore[arg-type]


def servers(fleet: Fleet, pool: str = "web") -> list[tuple[SocketAddress, int, ServerMode]]:
    return [(each.address, each.weight, each.mode) for each in fleet.regions[REGION].servers[pool]]


def found(where: dict[str, list[SocketAddress]]) -> dict[str, list[Server]]:
    return {pool: [Server(REGION, pool, each) for each in addresses] for pool, addresses in where.items()}


def test_without_any_word_it_is_the_fleet_itself() -> None:
    assert overlay(FLEET, REGION, (), {}, NOW) is FLEET
    elsewhere = ServerChange("elsewhere", "web", A, ServerMode.DRAIN)
    assert overlay(FLEET, REGION, [elsewhere, change(C, weight=2)], {}, NOW) is FLEET


def test_words_on_servers_concern_one_pool_and_leave_all_else_as_it_is() -> None:
    made = overlay(FLEET, REGION, [change(A, mode=ServerMode.DRAIN), change(B, weight=7)], {}, NOW)
    assert servers(made) == [(A, 3, ServerMode.DRAIN), (B, 7, ServerMode.READY)]
    assert made.regions[REGION].servers["cart"] is FLEET.regions[REGION].servers["cart"]
    assert (made.pools, made.routes, made.regions[REGION].edges) == (
        FLEET.pools,
        FLEET.routes,
        FLEET.regions[REGION].edges,
    )


def test_listed_ones_come_first_then_those_found_then_those_added() -> None:
    made = overlay(
        FLEET, REGION, [change(C, added=True), change(A, removed=True)], found({"web": [D, B]}), NOW
    )
    assert [address for address, _, _ in servers(made)] == [B, D, C]
    weighed = overlay(
        FLEET, REGION, [change(C, added=True, weight=5), change(D, weight=4)], found({"web": [D]}), NOW
    )
    assert servers(weighed)[2:] == [(D, 4, ServerMode.READY), (C, 5, ServerMode.READY)]


def test_the_end_of_a_drain_is_maintenance_and_that_of_maintenance_is_what_is_declared() -> None:
    drain = change(A, mode=ServerMode.DRAIN, until=NOW)
    rest = change(B, mode=ServerMode.MAINTENANCE, until=NOW + 1)
    assert next_end([drain, rest], NOW - 1) == NOW
    before = overlay(FLEET, REGION, [drain, rest], {}, NOW - 1)
    assert [mode for _, _, mode in servers(before)] == [ServerMode.DRAIN, ServerMode.MAINTENANCE]
    assert next_end([drain, rest], NOW) == NOW + 1
    assert [mode for _, _, mode in servers(overlay(FLEET, REGION, [drain, rest], {}, NOW))] == [
        ServerMode.MAINTENANCE,
        ServerMode.MAINTENANCE,
    ]
    after = overlay(FLEET, REGION, [drain, rest], {}, NOW + 1)
    assert [mode for _, _, mode in servers(after)] == [ServerMode.MAINTENANCE, ServerMode.READY]
    assert next_end([drain, rest], NOW + 1) is None


def test_those_held_back_are_left_out_unless_they_are_listed() -> None:
    every = frozenset({f"{REGION}/web/{each}" for each in (A, B, C, D)})
    made = overlay(FLEET, REGION, [change(C, added=True)], found({"web": [D]}), NOW, but=every)
    assert made is FLEET


@given(CHANGES, FOUND, st.randoms())
def test_it_does_not_depend_on_the_order_of_what_is_heard(
    changes: list[ServerChange], where: dict[str, list[SocketAddress]], chance: random.Random
) -> None:
    made = overlay(FLEET, REGION, changes, found(where), NOW)
    shuffled = changes.copy()
    chance.shuffle(shuffled)
    backwards = {pool: addresses[::-1] for pool, addresses in where.items()}
    assert overlay(FLEET, REGION, shuffled, found(backwards), NOW) == made
    for pool in FLEET.pools:
        targets = [server.target for server in made.regions[REGION].servers[pool]]
        assert len(set(targets)) == len(targets)
        listed = [each.target for each in FLEET.regions[REGION].servers[pool] if each.target in targets]
        assert targets[: len(listed)] == listed
    assert set(made.regions[REGION].servers) == set(FLEET.pools)


@given(CHANGES, FOUND)
def test_changes_of_what_is_not_there_are_the_ones_without_effect(
    changes: list[ServerChange], where: dict[str, list[SocketAddress]]
) -> None:
    here = [each for each in changes if each.region == REGION]
    useless = set(idle(FLEET, REGION, here, found(where)))
    left = [each for each in here if each not in useless]
    assert overlay(FLEET, REGION, left, found(where), NOW) == overlay(FLEET, REGION, here, found(where), NOW)


def test_what_changes_is_told_in_lines() -> None:
    edge = FLEET.regions[REGION].edges[0]
    said = [change(A, mode=ServerMode.DRAIN, weight=1), change(B, removed=True), change(C, added=True)]
    assert list(lines(FLEET, edge, overlay(FLEET, REGION, said, {}, NOW), edge)) == [
        f"~ server {A} of pool web: weight 3 → 1, ready → drain",
        f"- server {B} of pool web",
        f"+ server {C} of pool web with weight 1",
    ]
