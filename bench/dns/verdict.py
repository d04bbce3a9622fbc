"""What a soak comes to: loss, wrong answers, and whether memory grows, told from how it moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

NOISE_MEGABYTES, WARMING_MEGABYTES = 8.0, 64.0
"""Growth that says nothing, however steep: allocators take memory in steps, and caches fill at first."""

WARMING = 600.0
"""Seconds that the second half must last if memory is to have stopped filling up."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Memory over the second half of a run, which lasted `span` seconds.

    slope: least squares, MB an hour. grown: MB, along that slope.
    """

    start_megabytes: float
    end_megabytes: float
    most_megabytes: float
    slope: float
    grown: float
    span: float

    @classmethod
    def of(cls, samples: Sequence[tuple[float, float]]) -> Curve:
        """samples: seconds since the start, and MB; at least one."""
        half = samples[-1][0] / 2
        second = [sample for sample in samples if sample[0] >= half]
        slope = least_squares_slope(second)
        span = second[-1][0] - second[0][0]
        most = max(megabytes for _, megabytes in samples)
        return cls(samples[0][1], samples[-1][1], most, slope * 3600, slope * span, span)

    def grows(self, bound: float) -> bool:
        """Whether it is steeper than `bound` (MB an hour), and that by more than noise."""
        noise = NOISE_MEGABYTES if self.span >= WARMING else WARMING_MEGABYTES
        return self.slope > bound and self.grown > noise


def least_squares_slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the line that fits best; 0 for points at one place."""
    middle = sum(x for x, _ in points) / len(points)
    height = sum(y for _, y in points) / len(points)
    spread = sum((x - middle) ** 2 for x, _ in points)
    return sum((x - middle) * (y - height) for x, y in points) / spread if spread else 0.0


@dataclass(frozen=True, slots=True)
class Findings:
    """What a soak saw. unexpected: answers that nobody waited for, or not any more. bound: MB an hour.

    problems: sentences on whatever else must not happen: refused reloads, errors in the log, a dead server.
    """

    sent: int
    lost: int
    unexpected: int
    bad: int
    sampled: int
    wrong: Sequence[str]
    problems: Sequence[str]
    memory: Curve
    bound: float

    def failures(self) -> list[str]:
        """A sentence for each reason why this soak has failed; none if it has not."""
        failures = []
        if not self.sent or not self.sampled:
            failures.append("nothing was asked")
        if self.lost:
            failures.append(f"{self.lost:,} of {self.sent:,} queries were lost")
        if self.unexpected > self.lost:
            failures.append(f"{self.unexpected - self.lost:,} answers came to nothing that was asked")
        if self.bad:
            failures.append(f"{self.bad:,} answers were errors or empty")
        if self.wrong:
            failures.append(
                f"{len(self.wrong):,} of {self.sampled:,} sampled answers were wrong: {self.wrong[0]}"
            )
        if self.memory.grows(self.bound):
            grown = f"{self.memory.slope:.1f} MB an hour ({self.memory.grown:.1f} MB in the second half)"
            failures.append(f"memory grew by {grown}, more than {self.bound:g} MB an hour")
        times = Counter(self.problems)
        return failures + [f"{each} ({count} times)" if count > 1 else each for each, count in times.items()]
