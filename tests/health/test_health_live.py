"""What edges report of their servers decides beside probes: pools without servers, and how much is live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_fleet import observation, small_fleet

from gslb.fleet import Bounds, Region, Server, SocketAddress
from gslb.health.fold import Known, fold_region
from gslb.world import PoolReport, RegionState, Report, Verdict

UP, DOWN = Verdict.UP, Verdict.DOWN
A, B = "192.0.2.1", "192.0.2.2"


def region(min_live: float = 0.0) -> Region:
    """Two edges, a and b, with an address each, and one server of pool `web`."""
    whole = small_fleet(regions={"eu-west": [A, B]}).regions["eu-west"]
    edge = whole.edges[0]
    edges = tuple(
        replace(
            edge,
            name=name,
            addresses=(ip_address(address),),
            probe={ip_address(address): SocketAddress(address, 80)},
        )
        for name, address in (("a", A), ("b", B))
    )
    server = Server("eu-west", "web", SocketAddress("10.0.0.1", 80))
    return replace(whole, edges=edges, servers={"web": (server,)}, bounds=Bounds(min_live=min_live))


def report(edge: str, **pools: tuple[int, int]) -> Report:
    """Of each pool how many servers are healthy, and how many there are."""
    told = tuple(PoolReport(name, *numbers) for name, numbers in pools.items())
    return Report("eu-west", edge, 1.0, 0.0, 0, 0.0, None, None, told)


def state(
    *reports: Report, a: Verdict | None = UP, b: Verdict | None = UP, min_live: float = 0.0
) -> RegionState:
    heard = {
        f"eu-west/{address}": [observation(f"eu-west/{address}", verdict=verdict)]
        for address, verdict in ((A, a), (B, b))
        if verdict is not None
    }
    return fold_region(region(min_live), heard, Known(reports=reports))


NONE, SOME = {"web": (0, 4)}, {"web": (1, 4)}


@pytest.mark.parametrize(
    ("a", "b", "verdict_of_b", "without"),
    [
        (None, None, UP, False),
        (NONE, NONE, UP, True),
        (NONE, SOME, UP, False),
        # The other may well have servers: it is only not heard, and probes find it well.
        (NONE, None, UP, False),
        (NONE, None, None, False),
        # An edge that is down sends nobody anywhere, whatever it says.
        (NONE, None, DOWN, True),
        (NONE, SOME, DOWN, True),
        (SOME, NONE, DOWN, False),
        # The pool is meant to be here, and an edge without any server of it does not serve it.
        ({}, {}, UP, True),
        ({}, SOME, UP, False),
        ({}, None, UP, False),
    ],
)
def test_a_region_is_without_a_pool_if_all_edges_that_serve_say_so(
    a: Mapping[str, tuple[int, int]] | None,
    b: Mapping[str, tuple[int, int]] | None,
    verdict_of_b: Verdict | None,
    without: bool,
) -> None:
    reports = [report(name, **pools) for name, pools in (("a", a), ("b", b)) if pools is not None]
    folded = state(*reports, b=verdict_of_b)
    assert folded.without == ({"web"} if without else set())
    assert folded.eligible_for("www.shop.example", frozenset({"web"})) == (not without)
    assert folded.eligible_for("www.shop.example", frozenset({"web", "api"})), "it has another pool"


def test_if_all_edges_are_down_what_they_say_counts_again() -> None:
    assert state(report("a", **NONE), report("b", **SOME), a=DOWN, b=DOWN).without == set()
    assert state(report("a", **NONE), report("b", **NONE), a=DOWN, b=DOWN).without == {"web"}


def test_a_pool_that_nobody_declared_here_is_known_by_its_servers() -> None:
    folded = state(report("a", web=(1, 1), api=(0, 2), other=(0, 0)), report("b", web=(1, 1)))
    assert folded.without == {"api"}


@pytest.mark.parametrize(
    ("reports", "verdict_of_b", "live", "thin"),
    [
        ((), UP, 1.0, ""),
        ((), DOWN, 0.5, ""),
        ((report("a", web=(3, 4)), report("b", web=(4, 4))), UP, 0.88, ""),
        ((report("a", web=(1, 4)), report("b", web=(1, 4))), UP, 0.25, "2 of 8 servers healthy"),
        ((report("a", web=(1, 4), api=(4, 4)),), DOWN, 0.31, "5 of 8 servers healthy, 1 of 2 edges down"),
        ((report("a", web=(0, 1)), report("b", web=(3, 3))), DOWN, 0.0, "0 of 1 servers healthy"),
        ((report("a", web=(1, 5)),), UP, 0.6, ""),
        ((report("a"), report("b", web=(0, 0))), UP, 1.0, ""),
    ],
)
def test_how_much_is_live_and_what_is_said_if_that_is_too_little(
    reports: tuple[Report, ...], verdict_of_b: Verdict, live: float, thin: str
) -> None:
    folded = state(*reports, b=verdict_of_b, min_live=0.5)
    assert (folded.verdict, folded.live, folded.thin) == (UP, live, bool(thin))
    if thin:
        assert f"; {thin}" in folded.reason
        assert folded.reason.endswith(", less than min_live 0.5")
        assert not folded.eligible
    else:
        assert "min_live" not in folded.reason
        assert folded.eligible
    assert not state(*reports, b=verdict_of_b).thin, "nobody said how little is too little"


def test_a_lost_edge_can_be_too_much_by_itself() -> None:
    folded = state(report("a", web=(4, 4)), b=DOWN, min_live=0.6)
    assert folded.reason.endswith("; 1 of 2 edges down, less than min_live 0.6")


def test_a_region_that_is_down_is_so_for_its_own_reasons() -> None:
    folded = state(a=DOWN, b=DOWN, min_live=0.5)
    assert (folded.verdict, folded.live, folded.thin) == (DOWN, 0.0, True)
    assert "min_live" not in folded.reason


def test_reports_promise_nothing_about_when_a_verdict_can_change() -> None:
    assert state(report("a", **NONE), report("b", **NONE), min_live=0.5).flip_in == state().flip_in


def test_edges_that_are_declared_no_more_are_not_listened_to() -> None:
    assert state(report("gone", **NONE), report("a", **SOME), report("b", **SOME)).without == set()


def test_a_hostname_has_no_servers_that_we_know_of() -> None:
    cdn = replace(region(0.5), edges=(), hostname="cdn.example", probe=SocketAddress("cdn.example", 80))
    folded = fold_region(cdn, {}, Known(reports=(report("a", **NONE),)))
    assert (folded.without, folded.live, folded.thin) == (frozenset(), 1.0, False)


NUMBERS = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda two: (min(two), max(two)))
POOLS = st.none() | st.dictionaries(st.sampled_from(["web", "api"]), NUMBERS)
VERDICTS = st.none() | st.sampled_from([UP, DOWN])


@given(POOLS, POOLS, VERDICTS, VERDICTS)
def test_what_always_holds(
    of_a: Mapping[str, tuple[int, int]] | None,
    of_b: Mapping[str, tuple[int, int]] | None,
    a: Verdict | None,
    b: Verdict | None,
) -> None:
    told = {name: report(name, **pools) for name, pools in (("a", of_a), ("b", of_b)) if pools is not None}
    folded = state(*told.values(), a=a, b=b, min_live=0.5)
    assert folded == state(*reversed(told.values()), a=a, b=b, min_live=0.5)
    assert 0 <= folded.live <= 1
    # Fewer reports never take anything from a region that probes find well.
    silent = state(a=a, b=b)
    assert not silent.without
    assert silent.live >= folded.live
    for name, verdict in (("a", a), ("b", b)):
        if verdict is not DOWN and name in told:
            served = {pool.pool for pool in told[name].pools if pool.healthy}
            assert not served & folded.without, "an edge that serves it is there"
