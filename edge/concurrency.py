"""How many requests may be in flight to a pool now: a server that has too many serves none in time."""

from __future__ import annotations

from math import ceil, exp, inf, log, sqrt

from gslb.fleet_pool import ConcurrencyLimit, Priority

# The part of the limit, in percent, that requests may fill. Those that matter less leave room for those that
# matter more: the last fifth is for normal ones, and the last twentieth for high ones alone.
ROOM = {Priority.LOW: 80, Priority.NORMAL: 95, Priority.HIGH: 100}

ADAPTIVE_MOST = 1000  # where none is declared
_FIRST = 100.0  # where nothing is known yet

_WINDOW = 0.5  # seconds that one look takes at least: a change of the limit has to show first
_SAMPLES = 30  # responses that it takes at least
_LEAST_TIME = 0.0001  # seconds; clocks may measure nothing at all, which has no logarithm
_TOLERANCE = 1.5  # response times may be so many times what they are without a queue
_SLACK = 0.002  # seconds, beyond that: so much may be the edge's own doing
_LEAST_GRADIENT, _MOST_GRADIENT = 0.5, 1.25
_SMOOTHING = 0.5  # the part of its way to a new value that the limit goes at once
_QUICKER = 0.8  # times below this part of others are no accident
_SUSPICIOUS = 4  # windows in a row that were too slow, before a trial
_TRIALS_APART = 30.0  # seconds
_TRIAL_MOST = 10.0  # seconds, or five times what responses take, if that is more
_DROPPED = 0.9  # what a request without an answer leaves of the limit, at most once in a window


class Concurrency:
    """The limit of one pool in one process: fixed, or by response times.

    The adaptive limit is that of Netflix' concurrency-limits (Gradient2): after each window
    `limit × gradient + √limit`, smoothed, where the gradient is the response time without a queue, times a
    tolerance, by that of the window. It goes up only while at least half of it is in use. As in Envoy's
    adaptive concurrency the gradient may be above 1, so that more traffic is not turned away for long where
    there is no queue. A window's response time is the geometric mean, which a few slow requests among many
    quick ones do not lift much.

    The time without a queue is no long average, as there, because in a lasting overload that follows the
    queue, and the limit follows it. As Envoy does, it is measured: in a trial with fewer requests in flight,
    half of them, and half again while that makes them quicker. Since it turns requests away, a trial is made
    only when responses have been too slow for a while; it tells whether a queue is why, or whether servers
    have become slower. What was slow from the first, and never more than the limit, passes for usual.

    limit: in force now, `inf` for none. Between declared bounds always.
    """

    __slots__ = (
        "_adaptive",
        "_before",
        "_begun",
        "_busiest",
        "_count",
        "_counts_from",
        "_dropped_at",
        "_full",
        "_hears_from",
        "_least",
        "_logarithms",
        "_most",
        "_suspicious",
        "_trial_after",
        "_trial_until",
        "_typical",
        "_unqueued",
        "limit",
    )

    def __init__(self, settings: ConcurrencyLimit) -> None:
        self.limit = self._full = _FIRST  # _full: the limit without a trial
        self._adaptive = False
        self._least = self._most = _FIRST
        self._unqueued: float | None = None
        self._typical = 0.0
        self._suspicious = 0
        self._dropped_at = -inf
        self._before = 0.0
        self._trial_after = -inf
        self._trial_until = inf
        self._counts_from = self._hears_from = -inf
        self._count = self._busiest = 0
        self._logarithms = self._begun = 0.0
        self.use(settings)

    def use(self, settings: ConcurrencyLimit) -> None:
        """Go on as declared now; what an adaptive limit has learnt stays."""
        self._adaptive = settings.adaptive
        self._most = float(ADAPTIVE_MOST if settings.most is None else settings.most)
        self._least = min(float(settings.least), self._most)
        if settings.adaptive:
            self._full = self._bounded(self._full)
            self.limit = self._full if self.limit == inf else self._bounded(self.limit)
        else:
            self.limit = inf if settings.most is None else float(settings.most)

    def _bounded(self, limit: float) -> float:
        return min(max(limit, self._least), self._most)

    @property
    def bounded(self) -> bool:
        """Whether there is any limit."""
        return self.limit < inf

    def admits(self, in_flight: int, priority: Priority) -> bool:
        """Whether one more may go beside so many; one always may where there are none."""
        limit = self.limit
        if limit == inf or in_flight < 1:
            return True
        room = limit * ROOM[priority] / 100
        # Of few places, normal requests may have all: those of high priority are few, or none.
        return in_flight + 1 <= (room if priority is Priority.LOW else ceil(room))

    def sample(self, seconds: float, in_flight: int, now: float) -> None:
        """A response that is no failure has begun, so long after its request had gone to a server.

        in_flight: requests, this one counted in. now: loop time, seconds.
        """
        if not self._adaptive:
            return
        if now >= self._trial_until:
            self._full_again(now)
        if now < self._hears_from or now - seconds < self._counts_from:
            return  # it went before the trial, and so stood in the queue; or is one of the quickest since
        if not self._count:
            self._begun = now
        self._count += 1
        self._logarithms += log(max(seconds, _LEAST_TIME))
        if in_flight > self._busiest:
            self._busiest = in_flight
        if self._count >= _SAMPLES and now - self._begun >= max(_WINDOW, self._typical):
            self._conclude(now)

    def dropped(self, now: float) -> None:
        """A server did not answer in time. now: loop time, seconds."""
        if not self._adaptive or now - self._dropped_at < _WINDOW:
            return
        self._dropped_at = now
        self._full = self._bounded(self._full * _DROPPED)
        self.limit = min(self.limit, self._full)

    def _conclude(self, now: float) -> None:
        """A window is over."""
        first = not self._typical  # in which the quickest responses come, and the others do not yet
        self._typical = typical = exp(self._logarithms / self._count)
        busiest = self._busiest
        self._new_window()
        if first:
            return
        if self._trial_until < inf:
            self._tried(typical, now)
            return
        if self._unqueued is None:
            self._unqueued = typical
        elif typical < self._unqueued * _QUICKER:
            self._unqueued += (typical - self._unqueued) / 2
        gradient = (self._unqueued * _TOLERANCE + _SLACK) / typical
        self._follow(gradient, busiest)
        self._suspicious = self._suspicious + 1 if gradient < 1.0 else 0
        if self._suspicious >= _SUSPICIOUS and now >= self._trial_after:
            self._try(typical, min(self.limit, busiest), now)

    def _follow(self, gradient: float, busiest: int) -> None:
        limit = self._full
        gradient = min(max(gradient, _LEAST_GRADIENT), _MOST_GRADIENT)
        change = limit * gradient + sqrt(limit) - limit
        if change < 0 or busiest >= limit / 2:
            self._full = self.limit = self._bounded(limit + change * _SMOOTHING)

    def _try(self, typical: float, in_flight: float, now: float) -> None:
        """See how long responses take with half as many in flight. typical: seconds with so many."""
        limit = max(in_flight / 2, self._least)
        if limit >= in_flight:
            # With as few as there may be it takes what it takes.
            self._unqueued = typical
            self._full_again(now)
            return
        self.limit = limit
        self._before = typical
        self._counts_from = now
        self._hears_from = now + 2 * typical
        self._trial_until = now + max(_TRIAL_MOST, 5 * typical)

    def _tried(self, typical: float, now: float) -> None:
        if typical < self._before * _QUICKER:
            self._try(typical, self.limit, now)  # there was a queue, and may be one still
        else:
            self._unqueued = typical
            self._full_again(now)

    def _full_again(self, now: float) -> None:
        """A trial is over, or came to nothing."""
        self.limit = self._full
        self._suspicious = 0
        self._trial_after = now + _TRIALS_APART
        self._trial_until = inf
        self._counts_from = self._hears_from = -inf
        self._new_window()

    def _new_window(self) -> None:
        self._count = self._busiest = 0
        self._logarithms = 0.0
