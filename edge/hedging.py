"""Decides when a slow request gets a second try beside the first, and how many may. Pure."""

from __future__ import annotations

from math import exp, log

from gslb.fleet import Hedge

_LEAST = 0.0001  # seconds; the first bucket's end
_GROWTH = log(1.15)
_BUCKETS = 100  # up to some 100 seconds
_HALVED_AT = 2000  # responses; what was before counts half from then on
_KNOWN_FROM = 50  # responses, without which no percentile says anything
_LOOKED_AT_EVERY = 32
_SAVED_AT_MOST = 10.0  # second tries, for a moment in which many requests are slow at once


class Hedging:
    """Of one route, in one process.

    The delay follows the response times of late: a histogram whose buckets grow by 15 %, halved now and then.
    The budget is a share of the route's requests: each pays its part in, a second try takes one out. So when
    everything is slow, second tries do not make it slower.
    """

    __slots__ = ("_answers", "_counts", "_delay", "_hedge", "_saved", "_total")

    def __init__(self, hedge: Hedge) -> None:
        self._hedge = hedge
        self._delay = hedge.delay
        self._counts = [0.0] * _BUCKETS
        self._total = 0.0
        self._answers = 0
        self._saved = 0.0

    @property
    def delay(self) -> float | None:
        """Seconds after which a second try may begin; None while nobody knows."""
        return self._delay

    def begun(self) -> None:
        """A request came."""
        self._saved = min(_SAVED_AT_MOST, self._saved + self._hedge.share)

    def may(self) -> bool:
        """Whether one more second try may be made; it is counted then."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True

    def answered(self, seconds: float) -> None:
        """A response began after so long."""
        if self._hedge.delay is not None:
            return
        bucket = int(log(max(seconds, _LEAST) / _LEAST) / _GROWTH)
        self._counts[min(bucket, _BUCKETS - 1)] += 1
        self._total += 1
        self._answers += 1
        if self._total >= _HALVED_AT:
            self._counts = [count / 2 for count in self._counts]
            self._total /= 2
        if self._answers >= _KNOWN_FROM and self._answers % _LOOKED_AT_EVERY == 0:
            self._delay = self._percentile()

    def _percentile(self) -> float:
        """The end of the bucket in which it lies."""
        wanted = self._hedge.percentile * self._total
        below = 0.0
        bucket = -1
        while below < wanted and bucket < _BUCKETS - 1:
            bucket += 1
            below += self._counts[bucket]
        return _LEAST * exp((bucket + 1) * _GROWTH)
