"""Which servers of a pool get no requests for a while, by how their requests went (outlier detection)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import ceil, fsum, sqrt

from gslb.fleet_pool import Ejection

# Below this nothing can be said of what is usual.
LEAST_COMPARED = 3
# Where all others are without a failure, one among thousands would lie any number of deviations below them.
LEAST_DIFFERENCE = 0.01


@dataclass(frozen=True, slots=True)
class Ejected:
    """until: loop time. reason: part of a sentence, "5 requests in a row without a response"."""

    until: float
    reason: str


class Standing:
    """How one server does; whoever holds it sees it change.

    failures: requests in a row that failed; unanswered: of the last of them, those in a row without a
    response. Invariants: unanswered <= failures; a success only has to be told of while failures is not 0.
    ejected: None while it is not.
    """

    __slots__ = ("_counted", "_since", "_times", "ejected", "failures", "unanswered")

    def __init__(self) -> None:
        self.failures = 0
        self.unanswered = 0
        self.ejected: Ejected | None = None
        self._times = 0  # ejections in a row
        self._since = 0.0  # loop time at which the last ended
        self._counted: tuple[int, int] | None = None  # requests and failures when rates were compared last

    def succeeded(self) -> None:
        """A response below 500 has begun: rows end."""
        self.failures = self.unanswered = 0

    def failed(self, *, answered: bool) -> None:
        self.failures += 1
        self.unanswered = 0 if answered else self.unanswered + 1

    def counted(self, counts: tuple[int, int]) -> tuple[int, int]:
        """Requests and failures since the last time; none at the first. counts: totals."""
        before, self._counted = self._counted or counts, counts
        return counts[0] - before[0], counts[1] - before[1]

    def count_anew(self) -> None:
        self._counted = None

    def eject(self, reason: str, now: float, settings: Ejection) -> None:
        """It lasts the longer, the more ejections lie behind; each interval since the last takes one off."""
        well = int((now - self._since) / settings.interval)
        most = max(1, ceil(settings.most_time / settings.time))
        self._times = min(max(0, self._times - well) + 1, most)
        self.ejected = Ejected(now + min(self._times * settings.time, settings.most_time), reason)

    def readmit(self, now: float) -> None:
        """It begins anew, but for the ejections that lie behind."""
        self.ejected = None
        self._since = now
        self.succeeded()


class Ejections:
    """The standings of one pool's servers, by their names.

    Invariants: an ejection never takes the last server that requests could go to, and more than the declared
    share are never ejected, except for one. All times are of the loop, in seconds. `failed` and `compare`
    tell whom they ejected, `ended` and `readmit_all` who is back: what follows from it is the caller's.
    compares_at: before that, `compare` does nothing.
    """

    __slots__ = ("_others", "_settings", "compares_at", "ejected", "standings")

    def __init__(
        self, settings: Ejection, names: Collection[str], others: Callable[[str], Collection[str]]
    ) -> None:
        """others: the servers that may get requests now, besides the one so named and those ejected."""
        self._others = others
        self._settings = settings
        self.standings: dict[str, Standing] = {}
        self.ejected: dict[str, Ejected] = {}
        self.compares_at = float("inf")
        self.use(settings, names, 0.0)

    def use(self, settings: Ejection, names: Collection[str], now: float) -> None:
        """Go on as declared now: who stays keeps the standing, and more than may be ejected are not."""
        self._settings = settings
        self.standings = {name: self.standings.get(name) or Standing() for name in names}
        self.ejected = {name: each for name, each in self.ejected.items() if name in self.standings}
        if settings.success_rate is None:
            self.compares_at = float("inf")
        elif self.compares_at == float("inf"):
            self.compares_at = now
            for standing in self.standings.values():
                standing.count_anew()
        if settings.errors is None and settings.server_errors is None and settings.success_rate is None:
            self.readmit_all(now)
        while self.ejected and not self._within_share(len(self.ejected)):
            self._readmit(min(self.ejected, key=lambda name: self.ejected[name].until), now)

    def succeeded(self, name: str) -> None:
        """A response below 500 has begun. It may be left out while the standing has no failures."""
        standing = self.standings.get(name)
        if standing is not None:
            standing.succeeded()

    def failed(self, name: str, now: float, *, answered: bool) -> bool:
        """A request failed: with a response of 500 or above (answered), or without one. Whether that ejects
        the server; where it may not be, its next failure asks again."""
        standing = self.standings.get(name)
        if standing is None or standing.ejected is not None:
            return False  # it went, or had more requests when it was ejected
        standing.failed(answered=answered)
        settings = self._settings
        if settings.errors is not None and standing.unanswered >= settings.errors:
            return self._eject(name, _row(standing.unanswered, "without a response"), now)
        many = settings.server_errors is not None and standing.failures >= settings.server_errors
        if many and self._others_do_well(name):
            return self._eject(name, _row(standing.failures, "without a response below 500"), now)
        return False

    def _others_do_well(self, name: str) -> bool:
        """Whether most of the other servers' last responses were good: where they are not, a fault is in what
        is asked for, or behind all of them, and fewer servers would not help."""
        others = [self.standings[other] for other in self._others(name) if other in self.standings]
        return 2 * sum(each.failures == 0 for each in others) >= len(others)

    def compare(self, now: float, counts: Mapping[str, tuple[int, int]]) -> tuple[str, ...]:
        """Once in an interval: eject those whose success rate lies too far below the mean of all.

        counts: by name, how many requests have ended and how many of these failed, ever. Only servers with
        enough requests are compared, and only where there are LEAST_COMPARED of them. Deviations are those of
        these servers as a whole (population), as in Envoy: of n of them none can lie more than sqrt(n - 1)
        below the mean, so that 1.9 needs five. Unlike there, it must lie LEAST_DIFFERENCE below as well.
        """
        if now < self.compares_at:
            return ()
        self.compares_at = now + self._settings.interval
        limit = self._settings.success_rate
        rates = self._rates(counts)
        if limit is None or len(rates) < LEAST_COMPARED:
            return ()
        mean = fsum(rates.values()) / len(rates)
        deviation = sqrt(fsum((rate - mean) ** 2 for rate in rates.values()) / len(rates))
        below = mean - max(limit * deviation, LEAST_DIFFERENCE)
        ejected: list[str] = []
        # The worst first, as not all of them may be ejected.
        for name in sorted(rates, key=lambda name: rates[name]):
            reason = f"{rates[name]:.1%} of its requests succeeded, of its pool's {mean:.1%}"
            if rates[name] < below and self._eject(name, reason, now):
                ejected.append(name)
        return tuple(ejected)

    def _rates(self, counts: Mapping[str, tuple[int, int]]) -> dict[str, float]:
        rates: dict[str, float] = {}
        for name, standing in self.standings.items():
            requests, failures = standing.counted(counts.get(name, (0, 0)))
            # Requests 0: a rate of nothing, even if that were enough.
            if requests >= max(1, self._settings.requests) and standing.ejected is None:
                rates[name] = 1.0 - min(max(failures / requests, 0.0), 1.0)
        return rates

    def ended(self, now: float) -> tuple[str, ...]:
        """Readmit those whose time is over, and name them."""
        if not self.ejected:
            return ()
        names = tuple(name for name, each in self.ejected.items() if each.until <= now)
        for name in names:
            self._readmit(name, now)
        return names

    def readmit(self, name: str, now: float) -> None:
        """It is known to be well; whoever is not ejected stays as it is."""
        if name in self.ejected:
            self._readmit(name, now)

    def readmit_all(self, now: float) -> tuple[str, ...]:
        """All come back, and are named: for when requests could go nowhere else any more."""
        names = tuple(self.ejected)
        for name in names:
            self._readmit(name, now)
        return names

    def _eject(self, name: str, reason: str, now: float) -> bool:
        if not self._within_share(len(self.ejected) + 1) or not self._others(name):
            return False
        standing = self.standings[name]
        standing.eject(reason, now, self._settings)
        assert standing.ejected is not None
        self.ejected[name] = standing.ejected
        return True

    def _readmit(self, name: str, now: float) -> None:
        del self.ejected[name]
        self.standings[name].readmit(now)

    def _within_share(self, ejected: int) -> bool:
        # Divided, not multiplied: 29 of 100 is 0.29, while 0.29 of 100 is less than 29.
        servers = len(self.standings)
        return servers > 1 and (ejected == 1 or ejected / servers <= self._settings.share)


def panics(usable: int, servers: int, threshold: float) -> bool:
    """Whether so few of a pool's servers are usable that verdicts are not to be believed, or not to be
    followed: the few would go down under the load of all. threshold: a share, 0 (never) to 1."""
    return servers > 0 and usable / servers < threshold


def _row(count: int, how: str) -> str:
    return f"{count} requests in a row {how}" if count > 1 else f"a request {how}"
