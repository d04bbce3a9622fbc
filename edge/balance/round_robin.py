"""Each usable server in turn, whatever its weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from edge.balance.base import Candidate, Method

ServerT = TypeVar("ServerT", bound=Candidate)


class RoundRobin(Method[ServerT]):
    """State: the position after the server taken last, and what slow starters have saved up for a turn."""

    __slots__ = ("_position", "_saved", "_servers")

    def __init__(self, servers: Sequence[ServerT]) -> None:
        self._servers = tuple(servers)
        self._position = 0
        self._saved = [0.0] * len(self._servers)

    def candidates(self, key: str, /) -> Iterator[ServerT]:
        count = len(self._servers)
        start = self._position
        first = True
        passed_over = []
        for index in range(start, start + count):
            server = self._servers[index % count]
            if not server.usable:
                continue
            if first:
                if server.weight != server.full_weight and not self._has_turn(index % count, server):
                    passed_over.append(server)
                    continue
                # The position follows the server taken, so that a hole does not double its successor's share.
                self._position = (index + 1) % count
                first = False
            yield server
        yield from passed_over

    def _has_turn(self, index: int, server: ServerT) -> bool:
        """A slow starter has so many of its turns as it has of its weight."""
        saved = self._saved[index] + server.weight / server.full_weight
        self._saved[index] = saved % 1
        return saved >= 1
