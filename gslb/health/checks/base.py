"""What every check is: it asks one target once and says in a short phrase what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

from pydantic import BaseModel

from gslb.fleet import SocketAddress

BODY_LIMIT = 65536
"""Bytes of an answer that a check looks at; what follows is not read."""


class CheckOptions(BaseModel, extra="forbid", frozen=True):
    """Root of all checks' options, so that unknown keys are errors everywhere."""


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """What came of one probe. reason: a phrase such as `200 in 12 ms`. latency: seconds it took.

    load: share of the target's resources in use as it told, 0 to 1; None: it told none, or the probe failed.
    """

    ok: bool
    reason: str
    latency: float
    load: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a check makes of the answer. reason: without the time it took. remark: follows that, if ok.

    load: as in ProbeOutcome. It stands in no reason: a reason that varies is news to everybody, every time.
    """

    ok: bool
    reason: str
    load: float | None = None
    remark: str = ""


class Check(Protocol):
    """One file each in this package. Instances are frozen and compare by their options."""

    name: ClassVar[str]
    Options: ClassVar[type[CheckOptions]]

    @classmethod
    def from_options(cls, options: CheckOptions) -> Self: ...

    async def probe(self, target: SocketAddress, timeout: float) -> ProbeOutcome:
        """Ask `target` once, within `timeout` seconds; whatever goes wrong is an outcome, not an error."""
        ...


def milliseconds(seconds: float) -> str:
    """A short time as reasons say it: `12 ms`, `0.4 ms`."""
    value = seconds * 1000
    return f"{value:.1f} ms" if value < 1 else f"{value:.0f} ms"
