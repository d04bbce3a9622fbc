"""What one process remembers of every region between two steps, in its own monotonic time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from gslb.capacity.load import Load
from gslb.capacity.neighbours import Neighbours, neighbours
from gslb.fleet import Fleet
from gslb.world import Intake, RegionState, Verdict, World

SAMPLES_KEPT = 60.0
"""Seconds for which demand is remembered; longer than it takes to find out that a region is gone."""

SAMPLE_EVERY = 0.5
"""Seconds; however often the world changes, there are no more samples than that."""

SETTLED_OVER = 5.0
"""Seconds over which utilisation is averaged when a step begins, to see later what it did."""

CAP_HOLDS = 5.0
"""Seconds for which a cap is asked for, lest it be lost to another change of the same record."""

GAIN = 0.5
"""The part of an excess that one step takes away. Half leaves room for steps of neighbours, and for what an
earlier step has set under way."""
MOST_GAIN = 2.0
LEAST_GAIN = 1 / 8

MOST_PATIENCE = 32
"""Intervals. A region between whose possible loads the band falls would go to and fro for ever; so the
times grow that it stays on the safe side."""


@dataclass(frozen=True, slots=True)
class Sample:
    """at: monotonic seconds."""

    at: float
    load: Load


@dataclass(slots=True)
class Remembered:
    """Of one region. Times are monotonic seconds at which this process noticed.

    moved_at, ramped_at: that shed or takes, that ramp changed, whoever did it. turned_at: that it became
    eligible, or no longer was. was_up: whether it was ever seen eligible and UP. gain: see GAIN; smaller
    after steps to and fro, greater after steps without effect.
    direction: 1 if its last step was to have fewer clients, -1 if more. patience: intervals that it waits
    before it has more again. utilisation_then: at that step. under_way: requests per second that it sent
    elsewhere. calm_errors: the error rate while nothing was wrong; None if this process has not seen such a
    time. cap: the most that takes may be, and until when. measured_at: when load and capacity were last both
    known; at first, when this process began to look.
    """

    intake: Intake
    eligible: bool
    moved_at: float
    ramped_at: float
    turned_at: float
    measured_at: float
    was_up: bool = False
    samples: deque[Sample] = field(default_factory=deque)
    gain: float = GAIN
    direction: int = 0
    patience: int = 1
    utilisation_then: float | None = None
    under_way: float = 0.0
    calm_errors: float | None = None
    cap: tuple[float, float] = (1.0, 0.0)

    @property
    def load(self) -> Load | None:
        """The last that was known."""
        return self.samples[-1].load if self.samples else None

    def demand(self, window: float) -> float:
        """Requests per second, on average over the last `window` seconds for which they are known."""
        last = self.samples[-1].at
        recent = list(takewhile(lambda sample: sample.at >= last - window, reversed(self.samples)))
        return sum(sample.load.demand for sample in recent) / len(recent)

    def utilisation(self, window: float) -> float | None:
        load = self.load
        return self.demand(window) / load.capacity if load is not None and load.capacity else None

    def peak(self, now: float) -> float:
        """The most that was asked of it in a while: what its clients will ask elsewhere if it falls."""
        recent = (sample.load.demand for sample in self.samples if sample.at >= now - SAMPLES_KEPT)
        return max(recent, default=0.0)

    def still_coming(self, now: float, interval: float) -> float:
        """Requests per second that its last step sends elsewhere, and that are not there yet."""
        return self.under_way * max(0.0, 1 - (now - self.moved_at) / interval)


class Memory:
    """Belongs to one process, which tells it of every world; empty at the start, which is no harm."""

    def __init__(self) -> None:
        self._regions: dict[str, Remembered] = {}
        self._neighbours: tuple[Fleet, Neighbours] | None = None

    def of(self, region: str) -> Remembered:
        """What is remembered of a region that was in the last world noted."""
        return self._regions[region]

    def neighbours(self, fleet: Fleet) -> Neighbours:
        if self._neighbours is None or self._neighbours[0] is not fleet:
            self._neighbours = fleet, neighbours(fleet)
        return self._neighbours[1]

    def note(self, fleet: Fleet, world: World, loads: Mapping[str, Load], now: float) -> tuple[str, ...]:
        """Take in a world; the regions that have just ceased to be eligible."""
        for gone in self._regions.keys() - fleet.regions.keys():
            del self._regions[gone]
        return tuple(
            [name for name in fleet.regions if self._note(name, world.region(name), loads.get(name), now)]
        )

    def _note(self, name: str, state: RegionState, load: Load | None, now: float) -> bool:
        eligible = state.eligible
        known = self._regions.get(name)
        if known is None:
            known = self._regions[name] = Remembered(state.intake, eligible, now, now, now, now)
        if state.intake is not known.intake:
            _note_intake(known, state.intake, now)
        if load is not None:
            _note_load(known, load, now, calm=eligible and state.intake.ramp == 1.0)
        fell = known.eligible and not eligible
        if eligible is not known.eligible:
            known.eligible, known.turned_at = eligible, now
        known.was_up = known.was_up or (eligible and state.verdict is Verdict.UP)
        return fell


def _note_intake(known: Remembered, intake: Intake, now: float) -> None:
    before, known.intake = known.intake, intake
    if intake.ramp != before.ramp:
        known.ramped_at = now
    shed = intake.shed - before.shed
    fewer = shed or before.takes - intake.takes
    if not fewer:
        return
    load = known.load
    known.utilisation_then = known.utilisation(SETTLED_OVER)
    known.under_way = 2 * max(0.0, shed) * load.demand if load is not None else 0.0
    known.moved_at = now
    direction = 1 if fewer > 0 else -1
    if direction == -known.direction:
        known.gain = max(LEAST_GAIN, min(GAIN, known.gain) / 2)
        if direction > 0:
            known.patience = min(MOST_PATIENCE, 2 * known.patience)
    known.direction = direction


def _note_load(known: Remembered, load: Load, now: float, *, calm: bool) -> None:
    samples = known.samples
    if len(samples) > 1 and now - samples[-2].at < SAMPLE_EVERY:
        samples.pop()
    samples.append(Sample(now, load))
    if load.capacity:
        known.measured_at = now
    while samples[0].at < now - SAMPLES_KEPT:
        samples.popleft()
    if calm:
        then = load.error_rate if known.calm_errors is None else known.calm_errors
        known.calm_errors = then + 0.02 * (load.error_rate - then)
