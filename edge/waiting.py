"""Keeps the requests of one pool that wait until a server has room, in the order in which they came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gslb.fleet_edge import QueueSettings
from gslb.fleet_pool import Priority

_RANK = {priority: rank for rank, priority in enumerate((Priority.HIGH, Priority.NORMAL, Priority.LOW))}


class Waiter(Protocol):
    """One request. `has_room` is called once: it takes the room there is, or was given up meanwhile.

    may_go: whether a server that has room is one for it: not where it has failed already.
    """

    @property
    def priority(self) -> Priority: ...

    def may_go(self) -> bool: ...

    def has_room(self) -> None: ...

    def waited_in_vain(self) -> None: ...


class Waiting:
    """Invariant: no usable server that one of those who wait may go to has room.

    Those of high priority go first, and those of low priority last; where as many wait as may, one that
    matters more takes the place of the last of those that matter least.

    room: whether a usable server has room now. deadlines: of those who wait, in the order in which they
    came, in loop time; the same mapping always.
    """

    __slots__ = ("_ranked", "_room", "_serving", "deadlines", "settings")

    def __init__(self, settings: QueueSettings, room: Callable[[], bool]) -> None:
        self.settings = settings
        self._room = room
        self.deadlines: dict[Waiter, float] = {}
        self._serving = False
        self._ranked = False  # whether any of those who wait matters more than others

    def __len__(self) -> int:
        return len(self.deadlines)

    def join(self, waiter: Waiter, now: float) -> bool:
        """Stand behind the others; False when as many wait as may. now: loop time, seconds."""
        if waiter.priority is not Priority.NORMAL:
            self._ranked = True
        elif not self.deadlines:
            self._ranked = False
        displaced = None
        if len(self.deadlines) >= self.settings.size:
            displaced = self._least(_RANK[waiter.priority])
            if displaced is None:
                return False
            del self.deadlines[displaced]
        self.deadlines[waiter] = now + self.settings.timeout
        if displaced is not None:
            displaced.waited_in_vain()
        return True

    def _least(self, rank: int) -> Waiter | None:
        """The last of those who matter least, and less than `rank`."""
        least = None
        for waiter in self.deadlines:
            if _RANK[waiter.priority] > rank:
                least, rank = waiter, _RANK[waiter.priority] - 1
        return least

    def leave(self, waiter: Waiter) -> None:
        """Wait no more; whoever does not wait may say so too."""
        self.deadlines.pop(waiter, None)

    def serve(self) -> None:
        """A server may have got room: let as many go on as there is room for, the first first."""
        if self._serving:
            return  # whoever goes on may give up at once and so bring us here again
        self._serving = True
        try:
            while (waiter := self._first()) is not None:
                del self.deadlines[waiter]
                waiter.has_room()
        finally:
            self._serving = False

    def due(self) -> bool:
        """Whether there is room for somebody who waits, whose turn comes before anybody else's."""
        return self._first() is not None

    def _first(self) -> Waiter | None:
        # Who may not go there must not be called: it would only stand in line again, and so for ever.
        if not self.deadlines or not self._room():
            return None
        if not self._ranked:
            return next((waiter for waiter in self.deadlines if waiter.may_go()), None)
        first = None
        for waiter in self.deadlines:
            if (first is None or _RANK[waiter.priority] < _RANK[first.priority]) and waiter.may_go():
                first = waiter
                if waiter.priority is Priority.HIGH:
                    break
        return first

    def expire(self, now: float) -> None:
        """Send those away whose time is over. now: loop time, seconds."""
        # All wait equally long, so that the first is the first to have waited long enough.
        while self.deadlines:
            waiter, deadline = next(iter(self.deadlines.items()))
            if deadline > now:
                return
            del self.deadlines[waiter]
            waiter.waited_in_vain()
