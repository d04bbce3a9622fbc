"""What becomes of clients that are too many for a region: said under `capacity` for all, or in the region."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from gslb.config.bearing import Share
from gslb.config.entry import Entry
from gslb.config.values import NUMBER, Duration, Pause, off, parse_number
from gslb.config.wrong_value import WrongError
from gslb.fleet import Bounds, Spill

# The defaults have one home: the settings as everybody else knows them.
_SPILL = Spill()
_BOUNDS = Bounds()

_MOST_UTILISATION = 100
_SPILL_LOOKS = "write off, {soft, hard, ...}, or the soft watermark alone, such as 0.8"

Watermark = Annotated[float, Field(gt=0, le=_MOST_UTILISATION), NUMBER]


def _no_time(value: object) -> object:
    return 0 if off(value) is None else value


Ramp = Annotated[
    Pause, BeforeValidator(_no_time, json_schema_input_type=Pause | Literal["off", False] | None)
]


class SpillEntry(Entry):
    """When a region gives clients away, and how fast."""

    soft: Watermark = Field(
        _SPILL.soft,
        description="above this part of its capacity a region gives clients away, first those who lose least",
    )
    hard: Watermark = Field(_SPILL.hard, description="above this part of its capacity it takes no others'")
    max_shift: Annotated[float, Field(gt=0, le=1), NUMBER] = Field(
        _SPILL.max_shift, description="the most of its clients, above 0 and up to 1, that move in one step"
    )
    interval: Duration = Field(
        _SPILL.interval,
        description="from one step to the next; no shorter than it takes clients to follow, which is the TTL",
    )
    hysteresis: Annotated[float, Field(gt=0, le=_MOST_UTILISATION), NUMBER] = Field(
        _SPILL.hysteresis, description="so far below `soft` it must be for clients to come home"
    )

    @model_validator(mode="before")
    @classmethod
    def _soft_alone(cls, value: object) -> object:
        if isinstance(value, dict):
            return value
        try:
            return {"soft": parse_number(value)}
        except WrongError:
            raise WrongError("{value} says nothing of when to give clients away", _SPILL_LOOKS) from None

    def settings(self, beside: Spill = _SPILL) -> Spill:
        """As everybody else knows it; what is not said here is taken from `beside`."""
        return replace(beside, **{name: getattr(self, name) for name in self.model_fields_set})


class BoundsEntry(Entry):
    """What becomes of clients that are too many for a region."""

    spill: Annotated[SpillEntry | None, BeforeValidator(off)] = Field(
        None,
        description="when it gives clients away: `off`, `{soft, hard, max_shift, interval, hysteresis}`, or "
        "`soft` alone; in a region, what is left out is as under `capacity`",
    )
    ramp: Ramp = Field(
        _BOUNDS.ramp,
        description="time in which a region takes its clients back, little by little, after an outage or a "
        "drain; `off` or `0s`: at once; in a region, default: as under `capacity`",
    )
    min_live: Share = Field(
        _BOUNDS.min_live,
        description="below this share of healthy capacity, 0 to 1, new clients are sent elsewhere; 0: never; "
        "in a region, default: as under `capacity`",
    )

    def bounds(self, beside: Bounds = _BOUNDS) -> Bounds:
        """As everybody else knows them; what is not said here is taken from `beside`, key by key."""
        said = self.model_fields_set
        spill = beside.spill
        if "spill" in said:
            spill = self.spill.settings(beside.spill or _SPILL) if self.spill is not None else None
        return Bounds(
            spill,
            self.ramp if "ramp" in said else beside.ramp,
            self.min_live if "min_live" in said else beside.min_live,
        )


class CapacitySection(BoundsEntry):
    """Of all regions that say nothing else."""
