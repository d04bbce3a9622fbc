"""Takes the server that costs least; what a server costs is for the methods to say."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from math import inf
from typing import TypeVar

from edge.balance.base import Candidate, Method

ServerT = TypeVar("ServerT", bound=Candidate)


class Least(Method[ServerT]):
    """State: the position after the server taken last; ties go to the first server from there on."""

    __slots__ = ("_rotation", "_servers")

    def __init__(self, servers: Sequence[ServerT]) -> None:
        self._servers = tuple(servers)
        self._rotation = 0

    @abstractmethod
    def _costs(self) -> list[float]:
        """What the next request would cost at each server; infinite at those that are not usable."""

    def candidates(self, key: str, /) -> Iterator[ServerT]:
        costs = self._costs()
        least = min(costs, default=inf)
        if least == inf:
            return
        start = self._rotation
        first = costs.index(least)
        if first < start and least in costs[start:]:
            first = costs.index(least, start)
        # It follows the server taken, so that a hole does not double its successor's share.
        self._rotation = (first + 1) % len(costs)
        yield self._servers[first]
        # The sort is stable: among equals the rotation decides.
        turned = (*range(start, len(costs)), *range(start))
        for index in sorted(turned, key=costs.__getitem__):
            if index != first and costs[index] < inf:
                yield self._servers[index]
