"""The server with the fewest requests in flight for its weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from edge.balance.base import Candidate

ServerT = TypeVar("ServerT", bound=Candidate)


class LeastConnections(Generic[ServerT]):
    """In flight is counted with the request to come, so that weights matter while nothing is in flight yet.

    State: the position after the server taken last; ties go to the first server from there on.
    """

    __slots__ = ("_rotation", "_servers")

    def __init__(self, servers: Sequence[ServerT]) -> None:
        self._servers = tuple(servers)
        self._rotation = 0

    def candidates(self, client: str) -> Iterator[ServerT]:
        count = len(self._servers)
        if not count:
            return
        servers = self._servers
        turned = (index % count for index in range(self._rotation, self._rotation + count))
        # The sort is stable: among equals the rotation decides.
        order = sorted(
            [index for index in turned if servers[index].usable],
            key=lambda index: (servers[index].in_flight + 1) / max(servers[index].weight, 1),
        )
        if order:
            # It follows the server taken, so that a hole does not double its successor's share.
            self._rotation = (order[0] + 1) % count
        for index in order:
            yield servers[index]
