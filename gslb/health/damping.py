"""Remembers how often one observer saw a target fall, and for how long that holds it DOWN, purely.

All times are of the monotonic clock: a step of the wall clock neither ends a hold nor makes one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from gslb.fleet import Damping

_MOST_DOUBLINGS = 32
"""Falls that count beyond the first that matters: a hold twice as long so many times is beyond any bound."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What keeps a target DOWN that is found well. rest: for how many seconds more at least.

    falls, within: how often it fell in how many seconds.
    """

    rest: float
    falls: int
    within: float


@dataclass(frozen=True, slots=True)
class Flapping:
    """falls: the moments that count, oldest first. well_since: when rise was reached, if it is held since.

    restless_at: when it last fell, failed while it was held, or came back.
    """

    falls: tuple[float, ...] = ()
    well_since: float | None = None
    restless_at: float = -inf

    def fell(self, now: float, damping: Damping) -> Flapping:
        """It went from UP to DOWN. Of a target that has calmed down only falls within the window count."""
        falls = self.falls
        if not self._held_before(now, damping):
            falls = tuple(each for each in falls if each > now - damping.window)
        falls = (*falls, now)[-max(damping.flaps, 1) - _MOST_DOUBLINGS :]
        return Flapping(falls, None, now)

    def _held_before(self, now: float, damping: Damping) -> bool:
        """Whether it has been held down and not been quiet for a window since: then further falls add up."""
        return bool(damping.flaps) and len(self.falls) >= damping.flaps and not self._is_quiet(now, damping)

    def _is_quiet(self, now: float, damping: Damping) -> bool:
        return now - self.restless_at >= damping.window

    def failed(self, now: float) -> Flapping:
        """It is DOWN and failed again: a hold that has begun will begin anew."""
        return replace(self, well_since=None, restless_at=now) if self.well_since is not None else self

    def well(self, now: float, damping: Damping) -> Flapping:
        """It is DOWN, and rise is reached now, or was and still is: a hold begins, goes on, or is over."""
        if self.well_since is None and self._is_quiet(now, damping):
            return Flapping(restless_at=now)
        if self.hold(now, damping) is None:
            return replace(self, well_since=None, restless_at=now)
        return replace(self, well_since=now) if self.well_since is None else self

    def hold(self, now: float, damping: Damping) -> Hold | None:
        """What would keep it DOWN, were it well from now on; None if nothing would."""
        number = len(self.falls)
        if not damping.flaps or number < damping.flaps:
            return None
        doublings = min(number - damping.flaps, _MOST_DOUBLINGS)
        rest = min(damping.most, damping.hold * 2.0**doublings)
        if self.well_since is not None:
            rest = self.well_since + rest - now
        else:
            rest = min(rest, self.restless_at + damping.window - now)
        return Hold(rest, number, self.falls[-1] - self.falls[0]) if rest > 0 else None


CALM = Flapping()
