"""What the commands of overrides share: the subject of an operator's word, and how it is said."""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from gslb.cli.times import end_of
from gslb.cli.times import seconds as seconds
from gslb.clock import SystemClock, iso
from gslb.config import load
from gslb.errors import GslbError
from gslb.fleet import Fleet, Service
from gslb.override_effect import (
    eligible_regions,
    left_without,
    override_on,
    regions_of,
    subject_text,
    with_override,
)
from gslb.world import Override, OverrideKind, Verdict, World

RegionArgument = Annotated[str | None, typer.Argument(help="The region; or --service alone.")]
ServiceOption = Annotated[
    str | None,
    typer.Option("--service", help="This balanced name only: in the region, or without one wherever it is."),
]
ForOption = Annotated[
    str | None, typer.Option("--for", help="How long, such as 90s, 30m or 1h; else until cleared.")
]
UntilOption = Annotated[
    str | None, typer.Option("--until", help="Until then: 14:00 (local time), or like 2026-11-22T14:00Z.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; shown wherever the override shows.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Who; by default the user at this machine.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Even if a service has no eligible region then.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only show where clients would go, and whether it holds.")
]
DryRunJsonOption = Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON.")]

MOST_NAMED = 3
"""So many services are named in a sentence; the others are counted."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a word is said: for how long or until when, why, and by whom; as the options have it."""

    length: str | None = None
    until: str | None = None
    reason: str = ""
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Saying:
    """Whether a word is said whatever comes of it, or only tried out."""

    force: bool = False
    dry_run: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """A region, a service in it, or (region empty) a service everywhere; in the world as Redis has it."""

    fleet: Fleet
    region: str
    service: str
    world: World
    now: float

    @property
    def text(self) -> str:
        return subject_text(self.region, self.service)

    @property
    def arguments(self) -> str:
        """What names it on a command line."""
        return " ".join([*([self.region] if self.region else []), *self._option])

    @property
    def _option(self) -> list[str]:
        return [f"--service {self.service}"] if self.service else []

    @property
    def services(self) -> tuple[Service, ...]:
        """Those that a word on it concerns."""
        if self.service:
            return (self.fleet.services[self.service],)
        return tuple(each for each in self.fleet.services.values() if self.region in each.regions)

    @property
    def regions(self) -> tuple[str, ...]:
        """Those that a word on it concerns."""
        return regions_of(self.fleet, self.region, self.service)

    def word(
        self,
        kind: OverrideKind,
        terms: Terms,
        *,
        weight: float | None = None,
        held: Iterable[tuple[str, Verdict]] = (),
    ) -> Override:
        """What is to be said of it."""
        until = end_of(terms.length, terms.until, self.now)
        by = terms.by or whoami()
        return Override(
            self.region, kind, by, terms.reason, self.now, until, self.service, weight, tuple(held)
        )

    def say(self, word: Override, how: Saying) -> None:
        """Have it in force, or show what would come of it; tells what was done and what follows.

        Raises GslbError if it would leave a service without a region and is not forced.
        """
        after = with_override(self.fleet, self.world, word)
        if how.dry_run:
            from gslb.cli.dry_run import show_dry_run

            show_dry_run(self.fleet, self.world, after, self.text, now=self.now, as_json=how.as_json)
            return
        self.check(after, force=how.force)
        before = override_on(self.fleet, self.world, self.region, self.service)
        from gslb.store.oneshot import set_override

        asyncio.run(set_override(self.fleet, SystemClock(), word))
        ending = iso(word.until) if word.until is not None else f"`gslb clear {self.arguments}`"
        typer.echo(f"{self.text}: {kind_text(word)} until {ending}")
        if before is not None:
            typer.echo(f"  in place of: {override_sentence(before)}")
        for line in self.follows(after, word):
            typer.echo(f"  {line}")

    def check(self, after: World, *, force: bool) -> None:
        """Raises GslbError for a world in which a service has no eligible region any more."""
        left = left_without(self.services, self.world, after)
        if left and not force:
            has = "has" if len(left) == 1 else "have"
            raise GslbError(
                f"then {named(left)} {has} no eligible region",
                hint="bring another region back first, or insist with --force",
            )

    def follows(self, after: World, word: Override) -> list[str]:
        """What comes of the word, in sentences."""
        went = [each for each in self.services if self._lost(each, after)]
        came = [each for each in self.services if self._gained(each, after)]
        told = []
        if went:
            answer = "is answered" if len(went) == 1 else "are answered"
            told.append(f"{named([each.name for each in went])} {answer} with other regions from now on")
        if came:
            told.append(f"new clients of {named([each.name for each in came])} come here from now on")
        if word.kind is OverrideKind.HOLD:
            kept = ", ".join(f"{region} {verdict.value.upper()}" for region, verdict in word.held)
            told.append(f"kept whatever is observed: {kept}")
        elif word.kind is OverrideKind.WEIGHT and word.weight:
            if not any(set(self.regions) & set(eligible_regions(each, after)) for each in self.services):
                return ["without effect for now: no new clients are sent there anyway"]
            told.append(f"{1 - word.weight:.0%} of the clients that would come go to their next best region")
        concerned = [each.ttl.wanted for each in self.services]
        if concerned and told and word.kind is not OverrideKind.HOLD:
            told.append(f"clients follow as their answers age, which takes up to {max(concerned)} s")
        if went and self.region and word.kind is OverrideKind.DRAIN:
            told.append(f"`gslb wait {' '.join(['--region', self.region, *self._option])} --state drained`")
        return told

    def _lost(self, service: Service, after: World) -> bool:
        return not set(eligible_regions(service, self.world)) <= set(eligible_regions(service, after))

    def _gained(self, service: Service, after: World) -> bool:
        return not set(eligible_regions(service, after)) <= set(eligible_regions(service, self.world))


def subject_of(config: Path, region: str | None, service: str | None) -> Subject:
    """What the command is about, with the world as it is. Raises GslbError for what nobody knows."""
    from gslb.store.oneshot import read_world

    fleet = load(config)
    region, service = region or "", (service or "").lower().rstrip(".")
    if not region and not service:
        raise GslbError("of what?", hint="name a region, a service with --service, or both")
    if region:
        known_region(fleet, region)
    if service:
        known_service(fleet, service)
        if region and region not in fleet.services[service].regions:
            served = ", ".join(fleet.services[service].regions)
            raise GslbError(f"{service} is not served from {region}", hint=f"it is served from: {served}")
    clock = SystemClock()
    return Subject(fleet, region, service, asyncio.run(read_world(fleet, clock)), clock.now())


def known_region(fleet: Fleet, region: str) -> None:
    """Raises GslbError for a region that the file does not declare."""
    if region not in fleet.regions:
        raise GslbError(f"there is no region {region!r}", hint=f"regions: {', '.join(fleet.regions)}")


def known_service(fleet: Fleet, service: str) -> None:
    """Raises GslbError for a service that the file does not declare."""
    if service not in fleet.services:
        names = named(tuple(fleet.services), most=10) if fleet.services else "none"
        raise GslbError(f"there is no service {service!r}", hint=f"services: {names}")


def kind_text(override: Override) -> str:
    """`drain`, `forced down`, `weight 0.25`."""
    if override.kind is OverrideKind.WEIGHT and override.weight is not None:
        return f"weight {override.weight:.4g}"
    return override.kind.value.replace("_", " ")


def override_sentence(override: Override) -> str:
    """`drain by ana since … until …: works`."""
    until = f" until {iso(override.until)}" if override.until is not None else ""
    reason = f": {override.reason}" if override.reason else ""
    return f"{kind_text(override)} by {override.by} since {iso(override.since)}{until}{reason}"


def named(names: Iterable[str], most: int = MOST_NAMED) -> str:
    """The first few, and the number of the others: `a, b, c and 4 others`."""
    names = list(names)
    if len(names) <= most:
        return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
    others = len(names) - most
    return f"{', '.join(names[:most])} and {others} other{'s' if others > 1 else ''}"


def whoami() -> str:
    """The user at this machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
