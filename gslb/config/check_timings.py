"""What every check says, whatever its type: how often it looks, and what it takes for a verdict to change."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from gslb.config.entry import Entry
from gslb.config.values import NUMBER, WHOLE, Duration, off, parse_number
from gslb.config.wrong_value import WrongError
from gslb.fleet import Damping, HealthCheck, Quorum
from gslb.health.checks import Check

# The defaults have one home: the settings as everybody else knows them.
_CHECK: dict[str, Any] = {each.name: each.default for each in fields(HealthCheck)}
_DAMPING = Damping()

QUORUMS = {"majority": Quorum(), "any": Quorum(0.0), "all": Quorum(1.0, strict=False)}
"""Those that have names."""

_QUORUMS_LOOK = "write majority, any, all, or a share such as 0.6"


def parse_quorum(value: object) -> Quorum:
    """A word, or the least share of observers that suffices: above 0, up to 1. Raises WrongError."""
    if isinstance(value, str) and value in QUORUMS:
        return QUORUMS[value]
    try:
        share = parse_number(value)
    except WrongError:
        raise WrongError("{value} is not a quorum", _QUORUMS_LOOK) from None
    if not 0 < share <= 1:
        raise WrongError("{value} is not a share above 0 and up to 1", _QUORUMS_LOOK)
    return Quorum(share, strict=False)


class DampingEntry(Entry):
    """What becomes of a target that keeps going down."""

    flaps: Annotated[int, Field(ge=1, le=1000), WHOLE] = Field(
        _DAMPING.flaps, description="from its so many-th fall within `window` on, a target is held DOWN"
    )
    window: Duration = Field(_DAMPING.window, description="the time in which falls are counted")
    hold: Duration = Field(
        _DAMPING.hold,
        description="for how long, once it was found well again; twice as long for each further fall",
    )
    most: Duration = Field(_DAMPING.most, description="for how long at most")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.most < self.hold:
            raise WrongError("most is less than hold", "make it as long, or longer")
        return self

    def settings(self) -> Damping:
        """As observers know it."""
        return Damping(**self.model_dump())


_QUORUM_SCHEMA = {"anyOf": [{"enum": list(QUORUMS)}, {"type": "number", "exclusiveMinimum": 0, "maximum": 1}]}


class CheckTimings(Entry):
    """What every check has, whatever its type: how often, and what it takes to flip a target."""

    interval: Duration = Field(_CHECK["interval"], description="from one probe to the next")
    timeout: Duration = Field(_CHECK["timeout"], description="how long one probe may take")
    rise: Annotated[int, Field(ge=1, le=1000), WHOLE] = Field(
        _CHECK["rise"], description="successes in a row that mean UP"
    )
    fall: Annotated[int, Field(ge=1, le=1000), WHOLE] = Field(
        _CHECK["fall"], description="failures in a row that mean DOWN"
    )
    fast_interval: Duration | None = Field(
        _CHECK["fast_interval"],
        description="from one probe to the next while the verdict is in doubt; default: `interval`",
    )
    jitter: Annotated[float, Field(ge=0, le=0.5), NUMBER] = Field(
        _CHECK["jitter"], description="the part of itself by which an interval varies either way, 0 to 0.5"
    )
    quorum: Annotated[Quorum, PlainValidator(parse_quorum), WithJsonSchema(_QUORUM_SCHEMA)] = Field(
        "majority",
        validate_default=True,
        description="of the DNS nodes that know, so many must say DOWN: `majority`, `any`, `all`, or the "
        "least share, such as `0.6`",
    )
    damping: Annotated[DampingEntry | None, BeforeValidator(off)] = Field(
        DampingEntry(),
        description="how long a target is held DOWN that keeps going down: `off`, or `{flaps, window, hold, "
        "most}`",
    )

    @model_validator(mode="after")
    def _faster(self) -> Self:
        if self.fast_interval is not None and self.fast_interval > self.interval:
            raise WrongError("fast_interval is longer than interval", "make it shorter, or leave it out")
        return self

    def health_check(self, name: str, check: Check) -> HealthCheck:
        """As observers know it: how to look, and what follows."""
        rest = {key: getattr(self, key) for key in type(self).model_fields if key != "damping"}
        damping = self.damping.settings() if self.damping is not None else Damping(flaps=0)
        return HealthCheck(name, check, **rest, damping=damping)
