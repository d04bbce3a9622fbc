"""What observers said of targets, the newest of each, and how long that holds: memory without I/O."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass

from gslb.health.verdict import is_news
from gslb.world import Observation, Verdict


@dataclass(slots=True)
class Voice:
    """An observation under a lease. `told` is what the world shows: the last one that was news.

    lease_end: by the monotonic clock; None for this process's own, which always count. heard_at: likewise.
    """

    told: Observation
    latest: Observation
    lease_end: float | None
    heard_at: float


class Voices:
    """All times are of the monotonic clock.

    Invariants: of one observer and target the greatest (epoch, sequence) is held, and a foreign one ends with
    its lease, never before. A target that is only remembered, from before this process began, keeps what was
    said of it until anybody is heard; `observer`'s own words of then count as a foreign one's.
    """

    def __init__(self, observer: str) -> None:
        self._observer = observer
        # By target and observer.
        self._voices: dict[str, dict[str, Voice]] = {}
        self._counted: Set[str] = frozenset()
        self._remembered: set[str] = set()
        # No lease ends before.
        self._hold_until = math.inf
        self.changed: set[str] = set()
        """Targets of which something else is told now; whoever has looked at them empties it."""
        self.observers: Counter[str] = Counter()
        """Those who are heard of the targets that `count` was given."""
        self.others_remembered: set[str] = set()
        """Targets that were remembered, and nobody but this process has been heard of since."""

    def count(self, targets: Set[str]) -> None:
        """From now on `observers` are those of these targets."""
        self._counted = targets
        self.observers = Counter(observer for target in targets for observer in self._voices.get(target, ()))

    def told_of(self, target: str) -> list[Observation]:
        return [voice.told for voice in self._voices.get(target, {}).values()]

    def own_of(self, target: str) -> Voice | None:
        """What this process has seen itself since it began."""
        voice = self._voices.get(target, {}).get(self._observer)
        return voice if voice is not None and voice.lease_end is None else None

    def surely_down(self, target: str, fall: int) -> Observation | None:
        """What this process says of a target that it has found down itself, in `fall` looks or more.

        None if anybody else was heard of it since this process began, or if it sees no other target UP: then
        it may well be cut off itself, and what it remembers is worth more.
        """
        own = self.own_of(target)
        if own is None or target not in self.others_remembered:
            return None
        if own.latest.verdict is not Verdict.DOWN or own.latest.consecutive < fall:
            return None
        others = (self.own_of(other) for other in self._counted if other != target)
        sees = any(other is not None and other.told.verdict is Verdict.UP for other in others)
        return own.told if sees else None

    def all_own(self) -> Iterator[Voice]:
        for target in self._voices:
            voice = self.own_of(target)
            if voice is not None:
                yield voice

    def latest(self, now: float) -> tuple[Observation, ...]:
        """The latest of every target by every observer whose lease holds, news or not."""
        return tuple(
            voice.latest
            for target, voices in self._voices.items()
            for voice in voices.values()
            if target in self._remembered or _holds(voice, now)
        )

    def own(self, observation: Observation, now: float) -> bool:
        """Hold an observation of this process's; True if it is news."""
        before = self.own_of(observation.target)
        if before is None:
            self._drop(observation.target, self._observer)
        return self._hold(observation, None, before, now)

    def hear(self, observation: Observation, lease_end: float, now: float) -> bool:
        """Hold a foreign observation; True if it is news. What is older than what is held is not heard."""
        held = self._voices.get(observation.target, {}).get(observation.observer)
        lapsed = held is not None and not _holds(held, now)
        if held is not None and not lapsed and _order(observation) < _order(held.latest):
            return False
        self._hold_until = min(self._hold_until, lease_end)
        self.others_remembered.discard(observation.target)
        return self._hold(observation, lease_end, held, now)

    def recall(self, observation: Observation, lease_end: float, now: float) -> None:
        """Hold what was said before this process began, unless something is known already."""
        target, observer = observation.target, observation.observer
        if target in self._voices and target not in self._remembered:
            return
        self._voices.setdefault(target, {})
        self._drop(target, observer)
        self._hold(observation, lease_end, None, now)
        self._remembered.add(target)
        self.others_remembered.add(target)

    def _hold(
        self, observation: Observation, lease_end: float | None, held: Voice | None, now: float
    ) -> bool:
        target, observer = observation.target, observation.observer
        if target in self._remembered:
            # Now leases that were over count as such.
            self._remembered.discard(target)
            self._hold_until = -math.inf
        if held is None:
            voice = Voice(observation, observation, lease_end, now)
            self._voices.setdefault(target, {})[observer] = voice
            if target in self._counted:
                self.observers[observer] += 1
            self.changed.add(target)
            return True
        # Most of what is read from Redis was read before.
        news = observation != held.latest and is_news(held.told, observation)
        held.latest, held.lease_end, held.heard_at = observation, lease_end, now
        if news:
            held.told = observation
            self.changed.add(target)
        return news

    def next_end(self) -> float:
        """When the next lease ends; infinity if none does."""
        ends = (
            voice.lease_end
            for target, voices in self._voices.items()
            if target not in self._remembered
            for voice in voices.values()
            if voice.lease_end is not None
        )
        self._hold_until = min(ends, default=math.inf)
        return self._hold_until

    def drop_ended(self, now: float) -> None:
        """Forget those whose leases have ended."""
        if now < self._hold_until:
            return
        for target, voices in list(self._voices.items()):
            if target not in self._remembered:
                for observer in [name for name, voice in voices.items() if not _holds(voice, now)]:
                    self._drop(target, observer)
            if not voices:
                del self._voices[target]
        self.next_end()

    def _drop(self, target: str, observer: str) -> None:
        if self._voices.get(target, {}).pop(observer, None) is None:
            return
        if target in self._counted:
            self.observers -= Counter((observer,))
        self.changed.add(target)


def _holds(voice: Voice, now: float) -> bool:
    return voice.lease_end is None or voice.lease_end > now


def _order(observation: Observation) -> tuple[int, int]:
    return observation.epoch, observation.sequence
