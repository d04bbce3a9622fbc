"""What a process that ends passes on to the one that follows it, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gslb.world import Intake, Observation, Override, Report


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything that was known `at` that moment, seconds since 1970.

    observations: the latest of each observer, those of this process among them. overrides: those in force.
    intakes: by region.
    """

    at: float
    observations: tuple[Observation, ...] = ()
    reports: tuple[Report, ...] = ()
    overrides: tuple[Override, ...] = ()
    intakes: Mapping[str, Intake] = field(default_factory=dict)
