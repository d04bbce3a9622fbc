"""What is declared of how much a region carries, and of what becomes of the rest, frozen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spill:
    """Watermarks of utilisation (1: at capacity). Above `soft` a region gives clients away, those that lose
    least; above `hard` it takes none from others.

    max_shift: the most of its clients, 0 to 1, that move in one step. interval: seconds from one step to the
    next; no shorter than it takes clients to follow. hysteresis: how far below `soft` utilisation must be
    for clients to come home.
    """

    soft: float = 0.8
    hard: float = 1.0
    max_shift: float = 0.1
    interval: float = 30.0
    hysteresis: float = 0.1


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one region. spill: None for never. ramp: seconds in which it takes its clients back, little by
    little, after an outage or a drain; 0: at once. min_live: below this share of healthy capacity, 0 to 1,
    new clients are sent elsewhere."""

    spill: Spill | None = None
    ramp: float = 0.0
    min_live: float = 0.0
