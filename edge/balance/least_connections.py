"""The server with the fewest requests in flight for its weight."""

from __future__ import annotations

from math import inf
from typing import TypeVar

from edge.balance.base import Candidate
from edge.balance.least import Least

ServerT = TypeVar("ServerT", bound=Candidate)


class LeastConnections(Least[ServerT]):
    """In flight counts with the request to come, so that weights matter while nothing is in flight yet."""

    __slots__ = ()

    def _costs(self) -> list[float]:
        return [(server.in_flight + 1) / server.weight if server.usable else inf for server in self._servers]
