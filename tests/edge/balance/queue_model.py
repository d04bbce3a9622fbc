"""A pool in simulated time: requests arrive at random, servers do one at a time, and some are ill."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random

from edge.balance.peak_ewma import PeakEwma


@dataclass(eq=False)
class Simulated:
    """mean: seconds of work a request takes on average; fails: every request, at once."""

    name: str
    clock: Clock
    mean: float = 0.01
    fails: bool = False
    weight: int = 1
    full_weight: int = 1
    usable: bool = True
    max_in_flight: float = inf
    load: float | None = None
    backup: bool = False
    waiting: deque[float] = field(default_factory=deque)
    in_flight: int = 0
    ewma: PeakEwma = field(default_factory=PeakEwma)

    @property
    def response_time(self) -> float | None:
        return self.ewma.at(self.clock.now)


@dataclass
class Clock:
    now: float = 0.0


@dataclass
class Outcome:
    """seconds: of each response, in order of size; by_server: requests; failures; most: in flight."""

    seconds: list[float]
    by_server: Counter[str]
    failures: int
    most: Counter[str]

    def percentile(self, share: float) -> float:
        return self.seconds[int(len(self.seconds) * share)]


def run(make, pool, clock, *, rate: float, requests: int, seed: int = 1) -> Outcome:
    """Send Poisson arrivals to the first candidates. rate: requests per second, of the whole pool."""
    random = Random(seed)
    method = make(pool)
    events: list[tuple[float, int, Simulated | None, float]] = []
    order = count()
    outcome = Outcome([], Counter(), 0, Counter())
    heappush(events, (0.0, next(order), None, 0.0))
    arrived = 0
    while events:
        clock.now, _, server, began = heappop(events)
        if server is None:
            arrived += 1
            if arrived < requests:
                heappush(events, (clock.now + random.expovariate(rate), next(order), None, 0.0))
            server = next(method.candidates(f"client {random.randrange(10_000)}"))
            server.in_flight += 1
            outcome.by_server[server.name] += 1
            outcome.most[server.name] = max(outcome.most[server.name], server.in_flight)
            if not server.fails:
                server.waiting.append(clock.now)
            if server.fails or len(server.waiting) == 1:
                heappush(events, (clock.now + _work(server, random), next(order), server, clock.now))
            continue
        server.in_flight -= 1
        if server.fails:
            outcome.failures += 1
            server.ewma.fail(clock.now - began, clock.now)
            continue
        began = server.waiting.popleft()
        outcome.seconds.append(clock.now - began)
        server.ewma.add(clock.now - began, clock.now)
        if server.waiting:
            heappush(events, (clock.now + _work(server, random), next(order), server, 0.0))
    outcome.seconds.sort()
    return outcome


def _work(server: Simulated, random: Random) -> float:
    return 0.0005 if server.fails else random.expovariate(1 / server.mean)


def pool(*means: float, failing: int = 0) -> tuple[list[Simulated], Clock]:
    """Servers with these mean times, and after them so many that fail."""
    clock = Clock()
    simulated = [Simulated(f"server {index}", clock, mean) for index, mean in enumerate(means)]
    simulated += [Simulated(f"failing {index}", clock, fails=True) for index in range(failing)]
    return simulated, clock
