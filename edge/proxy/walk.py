"""The walk of one request, or one connection, along a pool's servers: never to the same one twice."""

from __future__ import annotations

from collections.abc import Iterator

from edge.pool import PoolState
from edge.server import ServerState


class Walk:
    """Invariant: `server` is the one that was entered, and whose in-flight counts this walk.

    been: servers so far. candidates: those that the method has still to name, None before it was asked.
    """

    __slots__ = ("_key", "been", "candidates", "pool", "server")

    def __init__(self, pool: PoolState, key: str) -> None:
        """key: what the pool's method goes by."""
        self.pool = pool
        self._key = key
        self.been: list[ServerState] = []
        self.candidates: Iterator[ServerState] | None = None
        self.server: ServerState | None = None

    def choose(self) -> ServerState | None:
        """The best server with room that was not tried yet, in the order that the method gave at first.

        Others may have got room since, come back or been declared: at its end the method is asked anew.
        """
        further = self.candidates is not None
        while True:
            if self.candidates is None:
                self.candidates = self.pool.candidates(self._key)
            for server in self.candidates:
                if server.usable and server.has_room and server not in self.been:
                    return server
            self.candidates = None
            if not further or not self.may_go():
                return None
            further = False

    def may_go(self) -> bool:
        """Whether there is room at a server that was not tried yet."""
        return any(server.has_room and server not in self.been for server in self.pool.in_turn())

    @property
    def more(self) -> bool:
        """Whether there is a server that was not tried yet, with room or without."""
        return any(server not in self.been for server in self.pool.in_turn())

    def enter(self, server: ServerState) -> None:
        """Go there."""
        self.been.append(server)
        self.server = server
        server.enter()

    def resume(self, server: ServerState, candidates: Iterator[ServerState]) -> None:
        """Be at a server that was entered for this walk before. candidates: those behind it."""
        self.been.append(server)
        self.server = server
        self.candidates = candidates

    def leave(self) -> None:
        """Be at no server any more; whoever waits may have its place."""
        server, self.server = self.server, None
        if server is not None:
            server.leave()
            if self.pool.waiting:
                self.pool.waiting.serve()
