"""The server with the most room, as servers themselves tell: CPU, memory, a queue, or what else fills up."""

from __future__ import annotations

from math import inf
from typing import TypeVar

from edge.balance.base import Candidate
from edge.balance.least import Least

ServerT = TypeVar("ServerT", bound=Candidate)

# Figures are of a moment ago, and a server that was full then may be free now. With less than this, servers
# take turns at being flooded: simulated, its 90th percentile is twice as long with 0.1, six times with 0.01.
_LEAST_ROOM = 0.3


class LeastLoaded(Least[ServerT]):
    """The least (in flight + 1) / (weight × room), where room is the share of its resources that is free.

    A figure is some seconds old. If it alone decided, all requests would go to one server until the next one
    came; so it is what in flight is measured by: a server with twice the room may have twice as many.
    Servers that tell nothing count as loaded as the others are on average. Where none tells anything, or all
    the same, these are the least connections.
    """

    __slots__ = ()

    @property
    def loaded(self) -> bool:
        return True

    def _costs(self) -> list[float]:
        costs = []
        average = None
        for server in self._servers:
            if not server.usable:
                costs.append(inf)
                continue
            load = server.load
            if load is None:
                if average is None:
                    average = self._average()
                load = average
            room = 1 - load
            if room < _LEAST_ROOM:
                room = _LEAST_ROOM
            costs.append((server.in_flight + 1) / (server.weight * room))
        return costs

    def _average(self) -> float:
        loads = [load for server in self._servers if server.usable and (load := server.load) is not None]
        return sum(loads) / len(loads) if loads else 0.0
