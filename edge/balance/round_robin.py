"""Each usable server in turn, whatever its weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from edge.balance.base import Candidate, Method

ServerT = TypeVar("ServerT", bound=Candidate)


class RoundRobin(Method[ServerT]):
    """State: the position after the server taken last."""

    __slots__ = ("_position", "_servers")

    def __init__(self, servers: Sequence[ServerT]) -> None:
        self._servers = tuple(servers)
        self._position = 0

    def candidates(self, key: str, /) -> Iterator[ServerT]:
        count = len(self._servers)
        start = self._position
        first = True
        for index in range(start, start + count):
            server = self._servers[index % count]
            if not server.usable:
                continue
            if first:
                # The position follows the server taken, so that a hole does not double its successor's share.
                self._position = (index + 1) % count
                first = False
            yield server
