"""Servers as balancing methods see them, and what tests count of the choices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from gslb.balancing import Balancing, BalancingMethod, ThenOptions

EVERY = {
    method.value: Balancing(method) for method in BalancingMethod if method is not BalancingMethod.THEN
} | {
    "then": Balancing(
        BalancingMethod.THEN,
        ThenOptions(
            first=Balancing(BalancingMethod.IP_HASH), second=Balancing(BalancingMethod.LEAST_CONNECTIONS)
        ),
    )
}
"""Every method as regions.yaml may declare it, by name."""


@dataclass(eq=False)
class Fake:
    """A server whose state the test sets."""

    name: str
    weight: float = 1
    in_flight: int = 0
    usable: bool = True
    max_in_flight: float = inf
    response_time: float | None = None
    load: float | None = None
    backup: bool = False
    full_weight: int = 0

    def __post_init__(self) -> None:
        self.full_weight = self.full_weight or self.weight


def servers(*weights):
    """One for each weight: a, b, c, and so on; in larger pools by number."""
    if len(weights) > 26:
        return [Fake(f"10.0.{index // 250}.{index % 250}:80", weight) for index, weight in enumerate(weights)]
    return [Fake("abcdefghijklmnopqrstuvwxyz"[index], weight) for index, weight in enumerate(weights)]


def names(picked: Iterable[Fake]) -> str:
    return "".join(server.name for server in picked)


def chosen(method, keys) -> dict[str, str]:
    """The name of the first server for each key."""
    return {key: next(method.candidates(key)).name for key in keys}


def shares(method, keys) -> dict[str, float]:
    """The share of the requests for which each server is the first."""
    taken = Counter(next(method.candidates(key)).name for key in keys)
    return {name: count / taken.total() for name, count in taken.items()}


def fill(method, requests: int) -> list[Fake]:
    """Each request goes to the first server and stays there; who got them, in order."""
    taken = []
    for number in range(requests):
        server = next(method.candidates(f"client {number}"))
        server.in_flight += 1
        taken.append(server)
    return taken
