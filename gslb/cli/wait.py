"""`gslb wait`: blocks until a region is as a script needs it, such as drained before it is taken down."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

import typer

from gslb.cli.options import DEFAULT_CONFIG, ConfigOption
from gslb.cli.override import ServiceOption, known_region, known_service
from gslb.cli.times import seconds
from gslb.clock import Clock, SystemClock, duration
from gslb.command import BAD_CONFIGURATION, FAILED
from gslb.config import load
from gslb.errors import ConfigError, GslbError, StoreError
from gslb.fleet import Fleet
from gslb.override_effect import keeps_clients_away
from gslb.world import Verdict, World

POLL = 1.0
"""Seconds between readings of Redis."""

QUIET_READINGS = 2
"""So many reports in a row must be below the bound: one alone may have fallen into a gap."""

_ERROR = BAD_CONFIGURATION
"""The exit status for whatever keeps us from seeing; a script must tell that from time that ran out."""


class Awaited(StrEnum):
    """What can be waited for."""

    DRAINED = "drained"
    UP = "up"
    DOWN = "down"
    ELIGIBLE = "eligible"


@dataclass(slots=True)
class Waiting:
    """What is waited for, and what was seen so far. below: requests per second. service: "" for any."""

    fleet: Fleet
    region: str
    awaited: Awaited
    below: float = 1.0
    service: str = ""
    _quiet: int = field(default=0, init=False)
    _counted: object = field(default=None, init=False)

    def look(self, world: World) -> tuple[bool, str]:
        """Whether it is so in `world`, and a sentence on how it stands."""
        if self.awaited is Awaited.DRAINED:
            return self._drained(world)
        state = world.region(self.region)
        if self.awaited is Awaited.ELIGIBLE:
            pools = self.fleet.services[self.service].pools if self.service else frozenset[str]()
            eligible = state.eligible_for(self.service, pools)
            return eligible, f"{self.region} is {'eligible' if eligible else 'not eligible'}"
        wanted = Verdict.UP if self.awaited is Awaited.UP else Verdict.DOWN
        return state.verdict is wanted, f"{self.region} is {state.verdict.value}: {state.reason}"

    def _drained(self, world: World) -> tuple[bool, str]:
        reports = world.reports.get(self.region, ())
        if self.service:
            told = [each for report in reports for each in report.services if each.service == self.service]
            rate = sum(each.requests_per_second for each in told)
        else:
            rate = sum(report.requests_per_second for report in reports)
        said = keeps_clients_away(world.region(self.region), self.service)
        quiet = said is not None and bool(reports) and rate < self.below
        reading = tuple((report.edge, report.epoch, report.sequence) for report in reports)
        if not quiet:
            self._quiet = 0
        elif reading != self._counted:
            # The same report read twice is one reading.
            self._quiet += 1
        self._counted = reading
        if said is None:
            how = f"nobody has drained {self.region}"
        elif not reports:
            how = f"{self.region}: no edge reports what it still serves"
        else:
            how = f"{self.region}: {rate:.1f} requests/s, to be below {self.below:g}"
        return self._quiet >= QUIET_READINGS, how


def wait(
    region: Annotated[str, typer.Option("--region", help="The region.")],
    state: Annotated[Awaited, typer.Option("--state", help="What to wait for.")],
    service: ServiceOption = None,
    below: Annotated[float, typer.Option("--below", min=0, help="drained: requests/s, below which.")] = 1.0,
    timeout: Annotated[str, typer.Option("--timeout", help="How long at most.")] = "10m",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Wait until a region is as said; exit status 0, or 1 when time is up, or 2 for errors."""
    progress = _Progress()
    try:
        fleet = load(config)
        name = (service or "").lower().rstrip(".")
        known_region(fleet, region)
        if name:
            known_service(fleet, name)
        _check_reports(fleet, region, state)
        come = wait_for(
            Waiting(fleet, region, state, below, name),
            lambda: _read(fleet),
            SystemClock(),
            seconds(timeout),
            pause=lambda: time.sleep(POLL),
            tell=progress.tell,
        )
    except ConfigError:
        raise
    except GslbError as error:
        typer.echo(f"gslb: {error}", err=True)
        raise typer.Exit(_ERROR) from None
    finally:
        progress.end()
    if not come:
        typer.echo(f"gslb: {region} is not {state.value} after {duration(seconds(timeout))}", err=True)
        raise typer.Exit(FAILED)


def wait_for(
    waiting: Waiting,
    read: Callable[[], World],
    clock: Clock,
    most: float,
    *,
    pause: Callable[[], object],
    tell: Callable[[str], object],
) -> bool:
    """Whether it came within `most` seconds. Raises StoreError if Redis is away at first, or at last.

    tell: gets a sentence on how it stands after each reading.
    """
    end = clock.monotonic() + most
    come, how = waiting.look(read())
    trouble: StoreError | None = None
    while not come:
        tell(how)
        if clock.monotonic() >= end:
            if trouble is not None:
                raise trouble
            return False
        pause()
        try:
            come, how = waiting.look(read())
            trouble = None
        except StoreError as error:
            # A restart of Redis must not end a wait that may be long.
            how, trouble = error.message, error
    tell(how)
    return True


def _check_reports(fleet: Fleet, region: str, state: Awaited) -> None:
    if state is Awaited.DRAINED and not fleet.regions[region].edges:
        raise GslbError(
            f"{region} has no edges that would report what it serves",
            hint="a drain of somebody else's hostname cannot be watched",
        )


def _read(fleet: Fleet) -> World:
    from gslb.store.oneshot import read_world

    return asyncio.run(read_world(fleet, SystemClock()))


class _Progress:
    """On a terminal one line that is written over; elsewhere the last one alone."""

    def __init__(self) -> None:
        self._line = ""

    def tell(self, how: str) -> None:
        self._line = how
        if sys.stdout.isatty():
            typer.echo(f"\r\x1b[K{how}", nl=False)

    def end(self) -> None:
        if self._line:
            typer.echo("" if sys.stdout.isatty() else self._line)
