"""Redis as simulated processes have it: what was written lately, and nothing while it is away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from gslb.world import Intake, Observation, Override, Report


@dataclass(frozen=True, slots=True)
class Word:
    """An operator's word on a region, or, with None, that there is none any more."""

    region: str
    override: Override | None


@dataclass(frozen=True, slots=True)
class Taken:
    """The intake of a region."""

    region: str
    intake: Intake


Record = Observation | Report | Word | Taken


class Shared:
    """Times are those of the monotonic clock. Every reader has a set of its own of keys that it has not read
    since they were written, so that it reads no more than what changed."""

    def __init__(self) -> None:
        self.away = False
        self._held: dict[str, tuple[Record, float]] = {}
        self._unread: dict[str, set[str]] = {}

    def write(self, record: Record, end: float = inf) -> None:
        """Write what holds until `end`; nothing is written while Redis is away."""
        if not self.away:
            key = _key(record)
            self._held[key] = record, end
            for unread in self._unread.values():
                unread.add(key)

    def propose(self, region: str, intake: Intake) -> bool:
        """Write an intake unless one of at least its sequence is there; whether it was written."""
        held = self._held.get(f"intake {region}")
        if self.away or (held is not None and _sequence(held[0]) >= intake.sequence):
            return False
        self.write(Taken(region, intake))
        return True

    def read(self, reader: str, now: float) -> Iterator[tuple[Record, float]]:
        """What was written since this reader last read, or all, each with the end of its lease."""
        unread = self._unread.get(reader)
        keys = list(self._held) if unread is None else sorted(unread)
        self._unread[reader] = set()
        for key in keys:
            record, end = self._held[key]
            if end > now:
                yield record, end

    def forget(self, reader: str) -> None:
        """The reader lost its link: next time it reads everything."""
        self._unread.pop(reader, None)


def _key(record: Record) -> str:
    if isinstance(record, Observation):
        return f"observation {record.target} {record.observer}"
    if isinstance(record, Report):
        return f"report {record.region} {record.edge}"
    return f"{'override' if isinstance(record, Word) else 'intake'} {record.region}"


def _sequence(record: Record) -> int:
    assert isinstance(record, Taken)
    return record.intake.sequence
