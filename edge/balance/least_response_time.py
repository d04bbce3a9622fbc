"""The server that will most likely answer first: quick ones, while they are not busy."""

from __future__ import annotations

from math import inf
from typing import TypeVar

from edge.balance.base import Candidate
from edge.balance.least import Least
from edge.balance.peak_ewma import UNTRIED

ServerT = TypeVar("ServerT", bound=Candidate)


class LeastResponseTime(Least[ServerT]):
    """The least response time × (in flight + 1) / weight.

    A server that is not known yet gets a request as soon as it is idle, and one at a time if others answer
    within a second: it counts as that slow until it has answered. While none is known it is the least
    connections that decide. `PeakEwma` keeps away from servers that fail, however quickly.
    """

    __slots__ = ()

    @property
    def timed(self) -> bool:
        return True

    def _costs(self) -> list[float]:
        return [seconds_to_expect(server) if server.usable else inf for server in self._servers]


def seconds_to_expect(server: Candidate) -> float:
    """Response time × (in flight + 1) / weight, of a usable server."""
    in_flight, seconds = server.in_flight, server.response_time
    if seconds is None:
        seconds = UNTRIED if in_flight else 0.0
    return seconds * (in_flight + 1) / server.weight
