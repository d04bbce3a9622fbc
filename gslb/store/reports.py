"""The reports that this process made or heard, by region, and how long each holds: memory without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter

from gslb.health.fold import in_order_of_edges
from gslb.health.live import deciding
from gslb.world import Report

_AGES = {"at", "epoch", "sequence"}
_content = attrgetter(*(field.name for field in fields(Report) if field.name not in _AGES))

ByRegion = Mapping[str, tuple[Report, ...]]


class Reports:
    """Of one edge the newest is held: a foreign one until its lease ends, one of this process for ever."""

    def __init__(self) -> None:
        # By region and edge: the report, and the end of its lease, None for one of this process.
        self._held: dict[str, dict[str, tuple[Report, float | None]]] = {}
        self._changed: set[str] = set()
        self.deciding: set[str] = set()
        """Regions of which other servers are told of now; whoever has looked at them empties it."""

    def own(self, report: Report) -> None:
        """Hold a report of this process's."""
        self._hold(report, None)

    def hear(self, report: Report, lease_end: float) -> bool:
        """Hold a foreign report until `lease_end`; False if a newer one or this process's own is held."""
        held, held_until = self._held.get(report.region, {}).get(report.edge, (None, 0.0))
        if held is not None and (held_until is None or _order(report) < _order(held)):
            return False
        self._hold(report, lease_end)
        return True

    def _hold(self, report: Report, lease_end: float | None) -> None:
        of_region = self._held.setdefault(report.region, {})
        held, _ = of_region.get(report.edge, (None, None))
        of_region[report.edge] = (report, lease_end)
        if report != held:
            self._changed.add(report.region)
        # A report comes every second, other servers seldom: only these make a region another.
        if held is None or deciding(report) != deciding(held):
            self.deciding.add(report.region)

    def of(self, region: str) -> Sequence[Report]:
        """What holds of a region, of each edge one."""
        return [report for report, _ in self._held.get(region, {}).values()]

    def all(self) -> tuple[Report, ...]:
        return tuple(report for report, _ in self._all())

    def own_of(self, region: str, edge: str) -> Report | None:
        report, lease_end = self._held.get(region, {}).get(edge, (None, None))
        return report if lease_end is None else None

    def all_own(self) -> tuple[Report, ...]:
        return tuple(report for report, lease_end in self._all() if lease_end is None)

    def lease_ends(self) -> Iterator[float]:
        return (lease_end for _, lease_end in self._all() if lease_end is not None)

    def _all(self) -> Iterator[tuple[Report, float | None]]:
        return (held for of_region in self._held.values() for held in of_region.values())

    def drop_ended(self, now: float) -> None:
        """Forget those whose leases have ended at `now`, by the clock of the leases."""
        for region, of_region in list(self._held.items()):
            ended = [edge for edge, (_, end) in of_region.items() if end is not None and end <= now]
            for edge in ended:
                del of_region[edge]
            if ended:
                self._changed.add(region)
                self.deciding.add(region)
            if not of_region:
                del self._held[region]

    def gather_all(self) -> None:
        """Have the next `gathered` look at every region: they are others than the last time."""
        self._changed.update(self._held)

    def gathered(self, old: ByRegion, regions: Iterable[str]) -> tuple[ByRegion, bool]:
        """The reports of `regions`, in that order, and whether any differs in more than its age from `old`.

        Only what was made, heard or dropped since the last time is looked at; `old` is what that gave.
        """
        changed = {region: self._of(region) for region in self._changed}
        self._changed.clear()
        if not changed:
            return old, False
        latest = {**old, **changed}
        new = {region: reports for region in regions if (reports := latest.get(region, ()))}
        news = any(_contents(new.get(region, ())) != _contents(old.get(region, ())) for region in changed)
        return new, news

    def _of(self, region: str) -> tuple[Report, ...]:
        return in_order_of_edges({edge: report for edge, (report, _) in self._held.get(region, {}).items()})


def _order(report: Report) -> tuple[int, int]:
    return report.epoch, report.sequence


def _contents(reports: tuple[Report, ...]) -> list[object]:
    """What reports say, without their ages."""
    return list(map(_content, reports))
