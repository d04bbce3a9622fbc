"""What a supervisor does next: start a worker, send one a signal, wait, or end. Pure: it is told the time.

Until all workers have been ready once, one that ends means that the edge cannot start (a port is taken, a
file is wrong): the others are ended too, and the exit status is that worker's. From then on the edge is
never given up: a worker that ends, however it does, is started again after a pause that doubles with every
end and begins anew when one has lived for a minute.

A signal other than SIGTERM waits until its worker is ready: before, it would end a process that has no
handler for it yet. SIGTERM does not wait; a worker may end of it however it likes.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from enum import Enum, auto

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
LONG_LIFE = 60.0
_FAILED = 1


@dataclass(frozen=True, slots=True)
class Start:
    """Start the worker of this number now."""

    number: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Send this signal to the worker of this number."""

    number: int
    signal: signal.Signals


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before this moment, monotonic seconds; None: before something happens."""

    until: float | None


@dataclass(frozen=True, slots=True)
class End:
    """All workers have ended: end with this exit status."""

    status: int


Step = Start | Tell | Wait | End


class _Life(Enum):
    RESTING = auto()
    STARTING = auto()
    READY = auto()


@dataclass(slots=True)
class _Slot:
    """due: when a resting one is started. owed: signals that it has not been sent yet, the first first."""

    number: int
    due: float
    life: _Life = _Life.RESTING
    begun: float = 0.0
    pause: float = FIRST_PAUSE
    owed: list[signal.Signals] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return self.life is not _Life.RESTING

    def owe(self, number: signal.Signals) -> None:
        if number not in self.owed:
            self.owed.append(number)


class Plan:
    """Told of what happens, it says what to do: call `next` until it answers Wait or End, after each event.

    Every step but those two is handed out once and counts as done. grace: seconds from `stop` until workers
    that still run are killed. Moments are monotonic seconds.
    """

    def __init__(self, workers: int, grace: float, now: float) -> None:
        if workers < 1:
            raise ValueError("a supervisor needs a worker")
        self._slots = tuple(_Slot(number, now) for number in range(workers))
        self._grace = grace
        self._deadline: float | None = None  # of the end; None: it has not begun
        self._status = 0
        self.complete = False
        """Whether all workers were ready at once; stays so."""

    @property
    def stopping(self) -> bool:
        return self._deadline is not None

    def next(self, now: float) -> Step:
        """The next step at this moment."""
        return self._next_to_serve(now) if self._deadline is None else self._next_to_end(now, self._deadline)

    def _next_to_serve(self, now: float) -> Step:
        until: float | None = None
        for slot in self._slots:
            if slot.life is _Life.READY and slot.owed:
                return Tell(slot.number, slot.owed.pop(0))
            if slot.life is _Life.RESTING:
                if slot.due <= now:
                    slot.life, slot.begun = _Life.STARTING, now
                    return Start(slot.number)
                until = slot.due if until is None else min(until, slot.due)
        return Wait(until)

    def _next_to_end(self, now: float, deadline: float) -> Step:
        running = [slot for slot in self._slots if slot.running]
        if not running:
            return End(self._status)
        for slot in running:
            if slot.owed:
                return Tell(slot.number, slot.owed.pop(0))
        if now < deadline:
            return Wait(deadline)
        # Once more after another grace, should one not even die of that.
        self._deadline = now + max(self._grace, FIRST_PAUSE)
        self._status = self._status or _FAILED
        for slot in running:
            slot.owe(signal.SIGKILL)
        return self.next(now)

    def ready(self, number: int) -> None:
        """The worker serves."""
        slot = self._slots[number]
        if slot.life is _Life.STARTING:
            slot.life = _Life.READY
        self.complete = self.complete or all(each.life is _Life.READY for each in self._slots)

    def ended(self, number: int, status: int, now: float) -> float | None:
        """The worker is gone; seconds until it is started again, None if it is not.

        status: as subprocess has it, negative for a signal's number.
        """
        slot = self._slots[number]
        lived = now - slot.begun
        slot.life = _Life.RESTING
        slot.owed.clear()
        if self._deadline is not None:
            if status not in (0, -signal.SIGTERM, -signal.SIGKILL):
                self._status = self._status or _FAILED
            return None
        if not self.complete:
            self._status = status if status > 0 else _FAILED
            self.stop(now)
            return None
        pause = FIRST_PAUSE if lived >= LONG_LIFE else slot.pause
        slot.pause = min(2 * pause, LONGEST_PAUSE)
        slot.due = now + pause
        return pause

    def pass_on(self, number: signal.Signals) -> None:
        """Every worker is to get this signal once it is ready; one started later need not."""
        for slot in self._slots:
            if slot.running and self._deadline is None:
                slot.owe(number)

    def stop(self, now: float) -> None:
        """Begin to end, gracefully; again: hurry the workers, whose second SIGTERM says so."""
        if self._deadline is None:
            self._deadline = now + self._grace
        for slot in self._slots:
            if slot.running:
                slot.owed = [signal.SIGTERM]


def how_it_ended(status: int) -> str:
    """A status as subprocess has it, in words: `exit status 3`, `killed by SIGSEGV`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
