"""The only reader of time, so that every timing rule can be tested without waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Two times: `now` to tell people and other machines, `monotonic` to measure with."""

    def now(self) -> float:
        """Seconds since 1970 (UTC); may step."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never steps back."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._now += seconds
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP may."""
        self._now += seconds


def iso(timestamp: float) -> str:
    """A timestamp as people and Redis read it: `2026-11-22T10:00:00.123Z`."""
    then = datetime.fromtimestamp(timestamp, UTC)
    return then.strftime("%Y-%m-%dT%H:%M:%S.") + f"{then.microsecond // 1000:03d}Z"


def parse_iso(text: str) -> float:
    """The inverse of `iso`; raises ValueError for anything that is not an ISO 8601 moment."""
    then = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return then.timestamp()


def moment(timestamp: float, now: float) -> str:
    """A point in time as a person says it at `now`: `14:00 UTC`, or with the date when it is another day."""
    then, today = datetime.fromtimestamp(timestamp, UTC), datetime.fromtimestamp(now, UTC)
    return then.strftime("%H:%M UTC" if then.date() == today.date() else "%Y-%m-%d %H:%M UTC")


def duration(seconds: float) -> str:
    """A length of time as a person says it: `12 s`, `3 min`, `2 h 5 min`, `4 d 1 h`."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
