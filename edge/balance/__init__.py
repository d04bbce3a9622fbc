"""The balancing methods, by the names that regions.yaml uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edge.balance.ip_hash import IpHash
from edge.balance.least_connections import LeastConnections
from edge.balance.round_robin import RoundRobin
from edge.balance.weighted_round_robin import WeightedRoundRobin

if TYPE_CHECKING:
    from edge.balance.base import MethodClass

METHODS: Mapping[str, MethodClass] = {
    "round_robin": RoundRobin,
    "weighted_round_robin": WeightedRoundRobin,
    "ip_hash": IpHash,
    "least_connections": LeastConnections,
}
