"""Two methods in one: the first chooses while its server has room, else the second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from edge.balance.base import Candidate, Method
from edge.balance.bounded_load import in_flight_per_weight

ServerT = TypeVar("ServerT", bound=Candidate)


class Then(Method[ServerT]):
    """The first method's server while it is below its bounds, else the second method's order.

    Where the first method's favourite is down, its next one takes that place: with `ip_hash`, a client whose
    server dies is pinned to another. Retries go by the second method, and take a turn of it. A server passed
    over because it is full comes last. Both methods are for the same servers. State: that of the two.
    """

    __slots__ = ("_bound", "_first", "_second", "_servers")

    def __init__(
        self,
        servers: Sequence[ServerT],
        first: Method[ServerT],
        second: Method[ServerT],
        bound: float | None = None,
    ) -> None:
        """bound: the first one's server has room up to so many times the average in flight, for its weight;
        1 or more. None: only its own `max_in_flight` bounds it."""
        self._servers = tuple(servers)
        self._first = first
        self._second = second
        self._bound = bound

    @property
    def timed(self) -> bool:
        return self._first.timed or self._second.timed

    @property
    def loaded(self) -> bool:
        return self._first.loaded or self._second.loaded

    def candidates(self, key: str, /) -> Iterator[ServerT]:
        chosen = next(self._first.candidates(key), None)
        if chosen is None:
            return
        has_room = self._has_room(chosen)
        if has_room:
            yield chosen
        for server in self._second.candidates(key):
            if server is not chosen:
                yield server
        if not has_room:
            yield chosen

    def _has_room(self, server: ServerT) -> bool:
        in_flight = server.in_flight
        if in_flight >= server.max_in_flight:
            return False
        if self._bound is None or not in_flight:
            return True
        return in_flight < in_flight_per_weight(self._servers, self._bound) * server.weight
