"""What does not follow from silence while Redis is away, nor just after: verdicts that are held meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from gslb.fleet import Quorum
from gslb.health.fold import Settle
from gslb.health.quorum import brought_down_by_silence, conclude, kept
from gslb.world import Observation, RegionState, TargetState, Verdict


class Silence:
    """Times are of the monotonic clock. own: what this process last told of a target that it sees itself.

    While Redis is away, and for a grace after it is back, in which everyone alive is heard again, leases
    that end take no target from UP to DOWN: that others are not heard is then no news of the target. What
    was UP is held until this process itself sees it go down, or until so many of those who were heard
    before say so that their silence makes no difference. What others said before this process began is
    held until it is sure of the opposite.
    """

    def __init__(self, own: Callable[[str], Observation | None]) -> None:
        self._own = own
        self._is_away = False
        self._back_until = -math.inf
        # What this process did not see go down, though it says so: since when.
        self._down_before: dict[str, float] = {}
        self.held: dict[str, TargetState] = {}
        """By target, what held before silence began to tell."""

    def begins(self, own: Iterable[Observation]) -> bool:
        """Redis is away: from now on nothing follows from silence. own: all that this process tells.

        False if it was away already.
        """
        if self._is_away:
            return False
        self._is_away = True
        self._down_before = {each.target: each.since for each in own if each.verdict is Verdict.DOWN}
        return True

    def looks_first(self, observation: Observation) -> None:
        """What this process sees at its first look at a target it has not seen happen."""
        if observation.verdict is Verdict.DOWN:
            self._down_before[observation.target] = observation.since

    def ends(self, until: float) -> bool:
        """Redis is back; by then all others that are alive will be heard. False if it was not away."""
        was_away, self._is_away = self._is_away, False
        if was_away:
            self._back_until = until
        return was_away

    def tells(self, now: float) -> bool:
        """Whether it means something that others are not heard."""
        return not self._is_away and now >= self._back_until

    @property
    def next_end(self) -> float:
        """When what is held will be held no more; infinity if that is not known, or nothing is."""
        return self._back_until if self.held and not self._is_away else math.inf

    def settling(self, region: RegionState, surely_down: Callable[[str], Observation | None]) -> Settle:
        """What holds for a target: what was heard, but a verdict that silence alone would end is held.

        region: as it was. Its last verdicts, and those from before silence began to tell, may be held.
        surely_down: what counts alone of a target, as others are only remembered; None if nothing does.
        """
        last = {state.target: state for state in region.targets.values()}
        why = "as Redis is away" if self._is_away else "as Redis was away"

        def settle(now: TargetState, quorum: Quorum) -> TargetState:
            sure = surely_down(now.target)
            if sure is not None:
                self.held.pop(now.target, None)
                return conclude(now.target, (sure,), quorum)
            before = self.held.get(now.target) or last.get(now.target)
            own = self._own(now.target)
            saw_it_go_down = (
                own is not None
                and own.verdict is Verdict.DOWN
                and own.since != self._down_before.get(now.target)
            )
            if before is None or saw_it_go_down or not brought_down_by_silence(before, now, quorum):
                self.held.pop(now.target, None)
                return now
            self.held[now.target] = before
            return kept(before, now, why)

        return settle
