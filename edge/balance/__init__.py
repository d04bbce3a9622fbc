"""The balancing methods, by the names that regions.yaml uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from edge.balance.base import Candidate, Method
from edge.balance.consistent_hash import ConsistentHash
from edge.balance.first_available import FirstAvailable
from edge.balance.ip_hash import IpHash
from edge.balance.least_connections import LeastConnections
from edge.balance.least_loaded import LeastLoaded
from edge.balance.least_response_time import LeastResponseTime
from edge.balance.power_of_two import PowerOfTwo
from edge.balance.random import WeightedRandom
from edge.balance.round_robin import RoundRobin
from edge.balance.then import Then
from edge.balance.tiers import Tiers
from edge.balance.weighted_round_robin import WeightedRoundRobin
from gslb.balancing import Balancing, ThenOptions

ServerT = TypeVar("ServerT", bound=Candidate)


def _then(servers: Sequence[ServerT], options: ThenOptions) -> Then[ServerT]:
    return Then(servers, _one(options.first, servers), _one(options.second, servers), options.bound)


METHODS: Mapping[str, Callable[..., Method[Any]]] = {
    "round_robin": RoundRobin,
    "weighted_round_robin": WeightedRoundRobin,
    "random": WeightedRandom,
    "ip_hash": IpHash,
    "consistent_hash": ConsistentHash,
    "least_connections": LeastConnections,
    "power_of_two": PowerOfTwo,
    "least_response_time": LeastResponseTime,
    "least_loaded": LeastLoaded,
    "first_available": FirstAvailable,
    "then": _then,
}
"""How each is made for the servers of one pool, and with its options if `gslb.balancing` has any for it."""


def make_method(balancing: Balancing, servers: Sequence[ServerT]) -> Method[ServerT]:
    """The method as declared, for the servers of one pool; backups are kept for the worst."""
    if any(server.backup for server in servers):
        return Tiers(servers, lambda tier: _one(balancing, tier))
    return _one(balancing, servers)


def _one(balancing: Balancing, servers: Sequence[ServerT]) -> Method[ServerT]:
    make = METHODS[balancing.name]
    return make(servers) if balancing.options is None else make(servers, balancing.options)
