"""`gslb drain`, `force` and `clear`: the operator's word on a region, which beats every observation."""

from __future__ import annotations

import asyncio
import getpass
import socket
from enum import StrEnum
from typing import Annotated

import typer

from gslb.cli.options import DEFAULT_CONFIG, ConfigOption
from gslb.clock import SystemClock, iso
from gslb.config import load
from gslb.dns.rdata import time_to_live
from gslb.errors import GslbError
from gslb.fleet import Fleet
from gslb.world import Override, OverrideKind

RegionArgument = Annotated[str, typer.Argument(help="The region.")]
ForOption = Annotated[
    str | None, typer.Option("--for", help="How long, such as 90s, 30m or 1h; else until cleared.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; shown wherever the override shows.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Who; by default the user at this machine.")]


class Direction(StrEnum):
    """Which way `gslb force` forces."""

    UP = "up"
    DOWN = "down"


def drain(
    region: RegionArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    length: ForOption = None,
    reason: ReasonOption = "",
    by: ByOption = None,
) -> None:
    """Send no new clients to a region; those it has may finish."""
    _override(load(config), region, OverrideKind.DRAIN, length, reason, by)


def force(
    region: RegionArgument,
    direction: Annotated[Direction, typer.Argument(help="up or down, whatever is observed.")],
    config: ConfigOption = DEFAULT_CONFIG,
    length: ForOption = None,
    reason: ReasonOption = "",
    by: ByOption = None,
) -> None:
    """Treat a region as up, or as down, whatever is observed."""
    kind = OverrideKind.FORCED_UP if direction is Direction.UP else OverrideKind.FORCED_DOWN
    _override(load(config), region, kind, length, reason, by)


def clear(region: RegionArgument, config: ConfigOption = DEFAULT_CONFIG, by: ByOption = None) -> None:
    """Take an override back: what is observed counts again."""
    from gslb.store.oneshot import clear_override

    fleet = load(config)
    known_region(fleet, region)
    cleared = asyncio.run(clear_override(fleet, SystemClock(), region, by=by or whoami()))
    typer.echo(f"{region}: cleared" if cleared else f"{region}: there was no override")


def _override(
    fleet: Fleet, region: str, kind: OverrideKind, length: str | None, reason: str, by: str | None
) -> None:
    from gslb.store.oneshot import set_override

    known_region(fleet, region)
    clock = SystemClock()
    until = clock.now() + seconds(length) if length is not None else None
    override = Override(region, kind, by or whoami(), reason, clock.now(), until)
    asyncio.run(set_override(fleet, clock, override))
    words = kind.value.replace("_", " ")
    ending = f" until {iso(until)}" if until is not None else f" until `gslb clear {region}`"
    typer.echo(f"{region}: {words}{ending}")


def known_region(fleet: Fleet, region: str) -> None:
    """Raises GslbError for a region that the file does not declare."""
    if region not in fleet.regions:
        raise GslbError(f"there is no region {region!r}", hint=f"regions: {', '.join(fleet.regions)}")


def seconds(text: str) -> float:
    """`90`, `90s`, `1h30m`, `2d` to seconds."""
    hint = "as in --for 90s, 30m, 1h30m or 2d"
    try:
        seconds = time_to_live(text)
    except ValueError:
        raise GslbError(f"{text!r} is not a length of time", hint=hint) from None
    if not seconds:
        raise GslbError("an override cannot last for no time at all", hint=hint)
    return float(seconds)


def whoami() -> str:
    """The user at this machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
