"""What came of a simulated scenario: every second of every region, and a few numbers in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite

_TOLERANCE = 1.01
"""Of its capacity: a region with a client too many is not overloaded."""

_FAILING = 0.001
"""From this share of requests that fail on, something is wrong."""

_BREATHER = 10
"""Seconds: what is wrong again within them has not been over."""


@dataclass(frozen=True, slots=True)
class RegionSecond:
    """requests, errors: in that second. utilisation: of what the region can carry then; infinite where that
    is nothing. latency: seconds from a client and back, on average, of requests that were served."""

    requests: float
    errors: float
    utilisation: float
    latency: float


@dataclass(frozen=True, slots=True)
class Second:
    """at: from the beginning. unanswered: requests of clients who were sent nowhere. moved, needlessly:
    clients who were sent elsewhere than before; without a reason that anybody could see.
    fits: whether the regions that are there can carry all that is asked."""

    at: int
    regions: tuple[RegionSecond, ...]
    unanswered: float
    moved: int
    needlessly: int
    fits: bool

    @property
    def requests(self) -> float:
        return sum(each.requests for each in self.regions) + self.unanswered

    @property
    def errors(self) -> float:
        return sum(each.errors for each in self.regions) + self.unanswered

    @property
    def overloaded(self) -> bool:
        """Whether a region that is there gets more than it can carry."""
        return any(_TOLERANCE < each.utilisation < inf for each in self.regions)

    @property
    def trouble(self) -> bool:
        """Whether something is wrong that need not be."""
        return self.fits and (self.overloaded or self.errors > _FAILING * self.requests)


@dataclass(frozen=True, slots=True)
class Outcome:
    """regions: their names, in the order of every second. events: when what happened. clients: how many."""

    title: str
    regions: tuple[str, ...]
    clients: int
    seconds: Sequence[Second]
    events: Sequence[tuple[int, str]] = ()
    capacities: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def requests(self) -> float:
        return sum(second.requests for second in self.seconds)

    @property
    def errors(self) -> float:
        """Requests that failed or got no answer."""
        return sum(second.errors for second in self.seconds)

    @property
    def avoidable_overload(self) -> int:
        """Seconds in which a region got more than it can carry, while all together could have carried it."""
        return sum(second.fits and second.overloaded for second in self.seconds)

    @property
    def worst(self) -> float:
        """The highest utilisation that any region had; 1: at its capacity."""
        return max(
            (
                each.utilisation
                for second in self.seconds
                for each in second.regions
                if each.utilisation < inf
            ),
            default=0.0,
        )

    @property
    def recovery(self) -> int:
        """Seconds of the longest time for which something was wrong that need not be."""
        return max((last - first + 1 for first, last in self._troubles()), default=0)

    @property
    def moved(self) -> int:
        """Clients who were sent elsewhere, each as often as that happened."""
        return sum(second.moved for second in self.seconds)

    @property
    def needlessly(self) -> int:
        return sum(second.needlessly for second in self.seconds)

    def utilisation(self, region: str) -> list[float]:
        """Second by second; 0 while there is no region."""
        number = self.regions.index(region)
        values = (second.regions[number].utilisation for second in self.seconds)
        return [value if isfinite(value) else 0.0 for value in values]

    def summary(self) -> dict[str, object]:
        """As plain values for JSON."""
        return {
            "avoidable_overload": self.avoidable_overload,
            "worst_utilisation": round(self.worst, 4),
            "recovery": self.recovery,
            "requests": round(self.requests),
            "errors": round(self.errors),
            "error_rate": round(self.errors / self.requests, 6) if self.requests else 0.0,
            "clients": self.clients,
            "moved": self.moved,
            "moved_needlessly": self.needlessly,
        }

    def document(self) -> dict[str, object]:
        """All of it as plain values for JSON; times in seconds."""
        return {
            "title": self.title,
            "summary": self.summary(),
            "events": [{"at": at, "what": what} for at, what in self.events],
            "capacities": dict(self.capacities),
            "regions": {
                name: {
                    "requests": [round(second.regions[number].requests, 1) for second in self.seconds],
                    "errors": [round(second.regions[number].errors, 1) for second in self.seconds],
                    "latency": [round(second.regions[number].latency, 4) for second in self.seconds],
                }
                for number, name in enumerate(self.regions)
            },
            "unanswered": [round(second.unanswered, 1) for second in self.seconds],
            "moved": [second.moved for second in self.seconds],
            "moved_needlessly": [second.needlessly for second in self.seconds],
        }

    def _troubles(self) -> Iterator[tuple[int, int]]:
        """The first and last second of each."""
        first = last = None
        for second in self.seconds:
            if not second.trouble:
                continue
            if first is None or last is None or second.at - last > _BREATHER:
                if first is not None and last is not None:
                    yield first, last
                first = second.at
            last = second.at
        if first is not None and last is not None:
            yield first, last
