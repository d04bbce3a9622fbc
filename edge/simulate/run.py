"""Runs a load against a balancing method, event by event, on a clock that leaps to the next one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import Any

from edge.balance.base import Method
from edge.simulate.load import Course, Load, course
from edge.simulate.machine import Clock, Machine, Request, View
from edge.simulate.outcome import Outcome, ServerOutcome

MakeMethod = Callable[[Sequence[View]], Method[View]]

_FAILS_IN = 0.0005
"""Seconds to a response that says that the server is broken."""
_TELLS_EVERY = 1.0
"""Seconds between two words of a server on its load."""
_TELLS = -1


def run(load: Load, make: MakeMethod, drawn: Course | None = None) -> Outcome:
    """Send all of the load's requests by this method and wait for their ends. The same load gives the same.

    make: the method for the servers as one edge sees them; called once for each edge. drawn: `course(load)`,
    for those who run several methods.
    """
    return _Simulation(load, make, drawn or course(load)).run()


class _Edge:
    """Sends each request to the first server of the method's order that has room; where none has, requests
    wait, in order."""

    __slots__ = ("method", "views", "waiting")

    def __init__(self, views: Sequence[View], method: Method[View]) -> None:
        self.views = views
        self.method = method
        self.waiting: deque[int] = deque()


class _Simulation:
    """One run. Events are (seconds, number, request): its end, or, with none, servers tell their load."""

    def __init__(self, load: Load, make: MakeMethod, drawn: Course) -> None:
        self._load = load
        self._course = drawn
        self._clock = Clock()
        self._machines = tuple(Machine(server) for server in load.servers)
        self._edges = tuple(self._edge(make, number) for number in range(load.edges))
        self._events: list[tuple[float, int, Request | None]] = [(_TELLS_EVERY, _TELLS, None)]
        self._seconds: list[float] = []
        self._last_server: dict[str, Machine] = {}
        self._moved = 0

    def _edge(self, make: MakeMethod, number: int) -> _Edge:
        views = tuple(View(machine, self._clock) for machine in self._machines)
        method = make(views)
        _settle(method, Random(f"{self._load.seed} edge {number}"))
        return _Edge(views, method)

    def run(self) -> Outcome:
        clock, arrivals, leaving_after = self._clock, self._course.at, self._load.leaving_after
        for number, at in enumerate(arrivals):
            self._happen(until=at)
            clock.now = at
            if number == leaving_after:
                self._leave()
            self._arrive(number)
        came = clock.now
        busy = [machine.busy_seconds(came) for machine in self._machines]
        self._happen(until=inf)
        return self._outcome(came, busy)

    def _happen(self, until: float) -> None:
        events, clock = self._events, self._clock
        while events and events[0][0] <= until:
            clock.now, _, request = heappop(events)
            if request is not None:
                self._finish(request)
            elif until < inf:
                self._tell()

    def _tell(self) -> None:
        for index, machine in enumerate(self._machines):
            load = machine.tell_load(self._clock.now, _TELLS_EVERY)
            for edge in self._edges:
                edge.views[index].load = load
        heappush(self._events, (self._clock.now + _TELLS_EVERY, _TELLS, None))

    def _leave(self) -> None:
        for edge in self._edges:
            for view in edge.views:
                if view.machine.server.leaves:
                    view.usable = False

    def _arrive(self, number: int) -> None:
        edge = self._edges[self._course.edges[number]]
        if edge.waiting or not self._send(edge, number):
            edge.waiting.append(number)

    def _send(self, edge: _Edge, number: int) -> bool:
        """Whether there was a server with room."""
        course = self._course
        key = course.keys[number]
        for view in edge.method.candidates(key):
            if view.in_flight < view.max_in_flight:
                break
        else:
            return False
        machine, now = view.machine, self._clock.now
        server = machine.server
        fails = course.luck[number] < server.failing
        seconds = _FAILS_IN if fails else course.work[number] * server.slowness
        view.in_flight += 1
        self._begin(machine.take(Request(number, view, now, seconds, fails), now))
        if self._last_server.get(key, machine) is not machine:
            self._moved += 1
        self._last_server[key] = machine
        return True

    def _begin(self, request: Request | None) -> None:
        if request is not None:
            heappush(self._events, (self._clock.now + request.seconds, request.number, request))

    def _finish(self, request: Request) -> None:
        now, view, number = self._clock.now, request.view, request.number
        view.in_flight -= 1
        if request.fails:
            view.times.fail(now - request.sent, now)
        else:
            view.times.add(now - request.sent, now)
            self._seconds.append(now - self._course.at[number])
        self._begin(view.machine.finish(request, now))
        edge = self._edges[self._course.edges[number]]
        while edge.waiting and self._send(edge, edge.waiting[0]):
            edge.waiting.popleft()

    def _outcome(self, came: float, busy: Sequence[float]) -> Outcome:
        servers = tuple(
            ServerOutcome(
                name=machine.server.name,
                requests=machine.requests,
                errors=machine.errors,
                utilisation=seconds / (came * machine.server.workers) if came else 0.0,
                most_in_flight=machine.most_in_flight,
            )
            for machine, seconds in zip(self._machines, busy, strict=True)
        )
        returned = self._load.requests - len(self._last_server)
        return Outcome(
            seconds=sorted(self._seconds),
            servers=servers,
            unserved=sum(len(edge.waiting) for edge in self._edges),
            moved=self._moved / returned if returned else 0.0,
        )


def _settle(method: Method[View], random: Random) -> None:
    """Let what a method, or a part of it, leaves to chance follow from `random`.

    Methods take generators of their own where a pool makes them, so this looks into them.
    """
    for kind in type(method).__mro__:
        for name in getattr(kind, "__slots__", ()):
            part: Any = getattr(method, name, None)
            if isinstance(part, Random):
                part.seed(random.random())
            elif hasattr(part, "candidates"):
                _settle(part, random)
