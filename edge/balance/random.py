"""Any server, by weight: edges and processes that know nothing of each other do not move in step."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import TypeVar

from edge.balance.base import Candidate, Method

ServerT = TypeVar("ServerT", bound=Candidate)


class WeightedRandom(Method[ServerT]):
    """Every request falls on each usable server with a probability in proportion to its weight.

    Retries do so too, among the servers that are left. State: the generator's only.
    """

    __slots__ = ("_bounds", "_random", "_servers")

    def __init__(self, servers: Sequence[ServerT], random: Random | None = None) -> None:
        """random: a generator with a seed makes the order repeatable; None: one of its own."""
        self._servers = tuple(servers)
        self._bounds = list(accumulate(server.full_weight for server in self._servers))
        self._random = random or Random()

    def candidates(self, key: str, /) -> Iterator[ServerT]:
        first = self._draw()
        if first is None:
            return
        yield first
        rest = [server for server in self._servers if server.usable and server is not first]
        # The least of exponential times falls on each server in proportion to its rate, and so does the next.
        draw = self._random.expovariate
        yield from sorted(rest, key=lambda server: draw(server.weight))

    def _draw(self) -> ServerT | None:
        servers, bounds, random = self._servers, self._bounds, self._random
        if not servers:
            return None
        server = servers[bisect(bounds, random.random() * bounds[-1], 0, len(servers) - 1)]
        if server.usable and (
            server.weight == server.full_weight or random.random() * server.full_weight < server.weight
        ):
            return server
        # What fell on an unusable server is drawn once more, among the usable: their proportions stay.
        # So it is with the part of its weight that a slow starter does not have yet.
        usable = [server for server in servers if server.usable]
        if not usable:
            return None
        return random.choices(usable, [server.weight for server in usable])[0]
