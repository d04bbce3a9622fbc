"""The methods that a simulation compares, by the names that people call them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil, inf

from edge.balance import make_method
from edge.balance.base import Method
from edge.simulate.load import Course, Load
from edge.simulate.machine import View
from edge.simulate.outcome import Outcome
from edge.simulate.run import run
from gslb.balancing import (
    Balancing,
    BalancingMethod,
    ConsistentHashOptions,
    PowerOfTwoOptions,
    ThenOptions,
)
from gslb.errors import GslbError

_PINNED_THEN_LEAST = ThenOptions(
    first=Balancing(BalancingMethod.IP_HASH), second=Balancing(BalancingMethod.LEAST_CONNECTIONS), bound=1.5
)

CHOICES: Mapping[str, Balancing] = {
    "round_robin": Balancing(BalancingMethod.ROUND_ROBIN),
    "weighted_round_robin": Balancing(BalancingMethod.WEIGHTED_ROUND_ROBIN),
    "random": Balancing(BalancingMethod.RANDOM),
    "least_connections": Balancing(BalancingMethod.LEAST_CONNECTIONS),
    "power_of_two": Balancing(BalancingMethod.POWER_OF_TWO),
    "power_of_two+time": Balancing(BalancingMethod.POWER_OF_TWO, PowerOfTwoOptions(response_time=True)),
    "least_response_time": Balancing(BalancingMethod.LEAST_RESPONSE_TIME),
    "least_loaded": Balancing(BalancingMethod.LEAST_LOADED),
    "first_available": Balancing(BalancingMethod.FIRST_AVAILABLE),
    "ip_hash": Balancing(BalancingMethod.IP_HASH),
    "consistent_hash": Balancing(BalancingMethod.CONSISTENT_HASH),
    "consistent_hash+bound": Balancing(BalancingMethod.CONSISTENT_HASH, ConsistentHashOptions(bound=1.25)),
    "then": Balancing(BalancingMethod.THEN, _PINNED_THEN_LEAST),
}
"""Every method, and some once more with an option that makes another method of it."""

ROOM = 2
"""Requests for each worker that a server has room for, where a method needs bounds and none are given."""


def choice(name: str) -> Balancing:
    """The method of that name. Raises GslbError, which names all, if there is none."""
    if (found := CHOICES.get(name)) is None:
        raise GslbError(f"there is no method {name!r} to simulate", hint=f"choose from {', '.join(CHOICES)}")
    return found


def try_out(load: Load, balancing: Balancing, drawn: Course | None = None) -> Outcome:
    """Run the load by a method as a fleet's file may declare it. drawn: as `run` has it."""

    def make(views: Sequence[View]) -> Method[View]:
        return make_method(balancing, views)

    return run(_with_bounds(load) if _needs_bounds(balancing, load) else load, make, drawn)


def _needs_bounds(balancing: Balancing, load: Load) -> bool:
    # Without any, its first server would take everything, which is not what anybody means by it.
    return balancing.uses(BalancingMethod.FIRST_AVAILABLE) and all(
        server.most == inf for server in load.servers
    )


def _with_bounds(load: Load) -> Load:
    servers = (replace(server, most=ceil(ROOM * server.workers / load.edges)) for server in load.servers)
    return replace(load, servers=tuple(servers))
