"""How much clients ask for at a moment of a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from gslb.simulate.scenario import Demand, Event, Scenario, Where


class DemandCourse:
    """Times what they asked for at the beginning; the latest event about the same clients counts."""

    def __init__(self, scenario: Scenario, groups: Sequence[frozenset[Where]]) -> None:
        told = [event for event in sorted(scenario.events, key=_at) if event.demand is not None]
        wheres = dict.fromkeys(event.demand.where for event in told if event.demand is not None)
        self._changes = {
            where: [
                (event.at, event.demand) for event in told if event.demand and event.demand.where == where
            ]
            for where in wheres
        }
        self._groups = groups

    def at(self, at: float) -> list[float]:
        """By group."""
        factors = {where: _factor(changes, at) for where, changes in self._changes.items()}
        return [prod(factors[where] for where in group) for group in self._groups]


def _at(event: Event) -> int:
    return event.at


def _factor(changes: Sequence[tuple[int, Demand]], at: float) -> float:
    """Each change sets out from where the one before had got to."""
    factor = 1.0
    for number, (begins, demand) in enumerate(changes):
        if at < begins:
            break
        until = min(at, changes[number + 1][0]) if number + 1 < len(changes) else at
        part = min(1.0, (until - begins) / demand.over) if demand.over else 1.0
        factor += part * (demand.times - factor)
    return factor
