"""What a server may say at a moment, while all sorts of things change: the record that the soak judges by."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from asking import Told
from world import REGIONS, Sample

Value = TypeVar("Value")

_REMEMBERED = 64


@dataclass(slots=True)
class _Change(Generic[Value]):
    value: Value
    began: float
    done: float | None


class History(Generic[Value]):
    """What held when. Times are of any one clock, in seconds; threads may share it.

    A change may show from when it began, and what it replaced must not any more `grace` seconds after it was
    done.
    """

    def __init__(self, first: Value, grace: float) -> None:
        self._grace = grace
        self._lock = threading.Lock()
        self._changes = [_Change(first, float("-inf"), float("-inf"))]

    def begin(self, value: Value, at: float) -> None:
        """From `at` on the new value may show."""
        with self._lock:
            self._changes.append(_Change(value, at, None))
            del self._changes[:-_REMEMBERED]

    def done(self, at: float) -> None:
        """The latest change has been made."""
        with self._lock:
            self._changes[-1].done = at

    def possible(self, since: float, until: float) -> set[Value]:
        """The values that an answer may show which was asked for at `since` and came at `until`."""
        with self._lock:
            changes = list(self._changes)
        possible = set()
        for number, change in enumerate(changes):
            after = changes[number + 1] if number + 1 < len(changes) else None
            over = after is not None and after.done is not None and after.done + self._grace < since
            if change.began <= until and not over:
                possible.add(change.value)
        return possible


@dataclass(slots=True)
class Truth:
    """What is right: which regions serve, the TTL of one service, and whether another one exists.

    grace: seconds for which what was right before still counts as right.
    """

    grace: float
    first_ttl: int
    up: dict[str, History[bool]] = field(init=False)
    ttl: History[int] = field(init=False)
    fresh: History[str | None] = field(init=False)

    def __post_init__(self) -> None:
        self.up = {region.name: History(True, self.grace) for region in REGIONS}
        self.ttl = History(self.first_ttl, self.grace)
        self.fresh = History(None, self.grace)

    def fault(self, answer: Told, sample: Sample, since: float, until: float) -> str | None:
        """A sentence on an answer for `sample` which must have an address, if it is wrong."""
        if answer.rcode or answer.address is None:
            return f"error {answer.rcode}, without an address"
        allowed = self.allowed(sample, since, until)
        if answer.address in allowed:
            return None
        return f"{answer.address}, and not {' or '.join(sorted(allowed))}"

    def allowed(self, sample: Sample, since: float, until: float) -> set[str]:
        """The addresses that clients of `sample` may be given."""
        possible = {region.address: self.up[region.name].possible(since, until) for region in REGIONS}
        allowed = {sample.expected} if True in possible[sample.expected] else set()
        if False in possible[sample.expected]:
            others = {address for address in possible if address != sample.expected}
            # With no region left all of them are answered; the soak never goes there.
            allowed |= {address for address in others if True in possible[address]} or others
        return allowed
