"""What is declared of health checks, and of how observers' words become a verdict, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gslb.health.checks import Check


@dataclass(frozen=True, slots=True)
class Quorum:
    """The share of the observers with an opinion that must say DOWN for a target to be DOWN.

    share: 0 to 1. strict: whether more than that share is needed, and not just as much. So `majority` is
    (0.5, strict), `any` is (0, strict), `all` is (1, not strict).
    """

    share: float = 0.5
    strict: bool = True


@dataclass(frozen=True, slots=True)
class Damping:
    """From its `flaps`-th fall within `window` seconds on, a target is held DOWN for `hold` seconds after it
    was found well again, twice as long for each further one, `most` at most. flaps 0: never."""

    flaps: int = 3
    window: float = 300.0
    hold: float = 10.0
    most: float = 300.0


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How often a target is probed and how many outcomes in a row flip it; `check` knows how.

    interval, timeout: seconds. rise, fall: successes (failures) in a row that make a target UP (DOWN).
    fast_interval: seconds between probes while the verdict is in doubt; None: as always. jitter: the part of
    itself, 0 to 1, by which an interval varies either way, so that observers do not march in step.
    quorum: how many observers must agree. damping: what becomes of a target that keeps flipping.
    """

    name: str
    check: Check
    interval: float = 5.0
    timeout: float = 2.0
    rise: int = 2
    fall: int = 3
    fast_interval: float | None = None
    jitter: float = 0.1
    quorum: Quorum = field(default_factory=Quorum)
    damping: Damping = field(default_factory=Damping)
