"""A server of the simulation, twice: as it works, and as one edge sees it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from edge.balance.peak_ewma import PeakEwma
from edge.simulate.load import SimulatedServer


@dataclass(slots=True)
class Clock:
    """Simulated seconds since the beginning."""

    now: float = 0.0


class View:
    """What an edge knows of a server: what balancing methods go by (`edge.balance.base.Candidate`)."""

    __slots__ = (
        "_clock",
        "backup",
        "full_weight",
        "in_flight",
        "load",
        "machine",
        "max_in_flight",
        "name",
        "times",
        "usable",
        "weight",
    )

    def __init__(self, machine: Machine, clock: Clock) -> None:
        server = machine.server
        self.machine = machine
        self.name = server.name
        self.weight = self.full_weight = server.weight
        self.backup = server.backup
        self.max_in_flight = server.most
        self.usable = server.weight > 0
        self.in_flight = 0
        self.load: float | None = None
        self.times = PeakEwma()
        self._clock = clock

    @property
    def response_time(self) -> float | None:
        return self.times.at(self._clock.now)


@dataclass(slots=True, eq=False)
class Request:
    """number: its place in the `Course`. seconds: that it takes at this server. fails: at once."""

    number: int
    view: View
    sent: float
    seconds: float
    fails: bool


class Machine:
    """Works on as many requests at a time as it has workers; others wait, in order. Times are of one clock.

    Requests that fail keep no worker busy.
    """

    __slots__ = (
        "_busy",
        "_busy_seconds",
        "_since",
        "_told",
        "_waiting",
        "errors",
        "in_flight",
        "most_in_flight",
        "requests",
        "server",
    )

    def __init__(self, server: SimulatedServer) -> None:
        self.server = server
        self.in_flight = 0
        self.most_in_flight = 0
        self.requests = 0
        self.errors = 0
        self._waiting: deque[Request] = deque()
        self._busy = 0
        self._busy_seconds = 0.0  # of all workers, up to `_since`
        self._since = 0.0
        self._told = 0.0

    def take(self, request: Request, now: float) -> Request | None:
        """A request has come. The same again if work on it begins now; None: it waits."""
        self.requests += 1
        self.in_flight += 1
        if self.in_flight > self.most_in_flight:
            self.most_in_flight = self.in_flight
        if request.fails:
            self.errors += 1
            return request
        self._waiting.append(request)
        return self._begin(now)

    def finish(self, request: Request, now: float) -> Request | None:
        """A request is over; which one is begun in its place, if one waits."""
        self.in_flight -= 1
        if request.fails:
            return None
        self.busy_seconds(now)
        self._busy -= 1
        return self._begin(now)

    def _begin(self, now: float) -> Request | None:
        if not self._waiting or self._busy == self.server.workers:
            return None
        self.busy_seconds(now)
        self._busy += 1
        return self._waiting.popleft()

    def busy_seconds(self, now: float) -> float:
        """Of all its workers, from the beginning until now."""
        self._busy_seconds += self._busy * (now - self._since)
        self._since = now
        return self._busy_seconds

    def tell_load(self, now: float, seconds: float) -> float:
        """The share of its workers in use, 0 to 1, over the so many seconds since it was asked last."""
        before, self._told = self._told, self.busy_seconds(now)
        return min(1.0, (self._told - before) / (seconds * self.server.workers))
