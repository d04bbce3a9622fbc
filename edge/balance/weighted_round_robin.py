"""Turns by weight, spread out evenly: nginx's smooth weighted round robin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from edge.balance.base import Candidate, Method

ServerT = TypeVar("ServerT", bound=Candidate)


class WeightedRoundRobin(Method[ServerT]):
    """State: each server's current weight.

    A turn adds every usable server's weight to its current weight, takes the greatest, and subtracts the
    total from it. Current weights of usable servers sum up to zero as long as the same ones stay usable.
    """

    __slots__ = ("_current", "_servers")

    def __init__(self, servers: Sequence[ServerT]) -> None:
        self._servers = tuple(servers)
        self._current: list[float] = [0] * len(self._servers)

    def candidates(self, key: str, /) -> Iterator[ServerT]:
        current = self._current
        best = -1
        total: float = 0
        for index, server in enumerate(self._servers):
            if not server.usable:
                continue
            total += server.weight
            current[index] += server.weight
            if best < 0 or current[index] > current[best]:
                best = index
        if best < 0:
            return
        current[best] -= total
        yield self._servers[best]
        for index in sorted(range(len(current)), key=lambda index: -current[index]):
            if index != best and self._servers[index].usable:
                yield self._servers[index]
