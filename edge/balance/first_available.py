"""Fills one server after another, so that those at the end can sleep, or be switched off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from edge.balance.base import Candidate, Method

ServerT = TypeVar("ServerT", bound=Candidate)


class FirstAvailable(Method[ServerT]):
    """The first server, in the order of the file, that has fewer requests in flight than it may have.

    One without a bound takes all. Weights say nothing here. When all are full their order is the same.
    State: none.
    """

    __slots__ = ("_servers",)

    def __init__(self, servers: Sequence[ServerT]) -> None:
        self._servers = tuple(servers)

    def candidates(self, key: str, /) -> Iterator[ServerT]:
        full = []
        for server in self._servers:
            if not server.usable:
                continue
            if server.in_flight < server.max_in_flight:
                yield server
            else:
                full.append(server)
        yield from full
