"""The server with the fewest requests in flight for its weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from edge.balance.base import Candidate

ServerT = TypeVar("ServerT", bound=Candidate)


class LeastConnections(Generic[ServerT]):
    """State: a rotation, so that ties are not always won by the first server."""

    __slots__ = ("_rotation", "_servers")

    def __init__(self, servers: Sequence[ServerT]) -> None:
        self._servers = tuple(servers)
        self._rotation = 0

    def candidates(self, client: str) -> Iterator[ServerT]:
        count = len(self._servers)
        if not count:
            return
        start = self._rotation
        self._rotation = (start + 1) % count
        turned = self._servers[start:] + self._servers[:start]
        # The sort is stable: among equals the rotation decides.
        yield from sorted(
            [server for server in turned if server.usable],
            key=lambda server: server.in_flight / max(server.weight, 1),
        )
