"""A story to be simulated: which clients there are, and what happens to them, the regions and Redis, when."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gslb.config.amounts import LongTime
from gslb.config.document import parse
from gslb.config.entry import Entry
from gslb.config.findings import Findings
from gslb.config.sections import validated
from gslb.config.textfile import UnreadableError, read_text
from gslb.errors import ConfigError, GslbError, Place, Problem
from gslb.fleet import Fleet
from gslb.geo.countries import CONTINENTS, countries

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Where(Entry):
    """Whose clients are meant; an empty one means all. region: those who like that region best."""

    continent: str | None = None
    country: str | None = None
    region: str | None = None


class Demand(Entry):
    """From then on clients ask `times` as much as at the beginning, in the course of `over` seconds."""

    times: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
    over: LongTime = 0
    where: Where = Where()


class Flapping(Entry):
    """A region is gone for `down` seconds of each `every`, until a moment of the scenario."""

    region: str
    every: LongTime
    down: LongTime
    until: LongTime


class Servers(Entry):
    """A region has this share of its servers left."""

    region: str
    share: Share


class Weight(Entry):
    """An operator leaves this part of its clients to a region."""

    region: str
    weight: Share


class Event(Entry):
    """One thing that happens at a moment of the scenario, in seconds."""

    at: LongTime
    dies: str | None = None
    returns: str | None = None
    flaps: Flapping | None = None
    servers: Servers | None = None
    demand: Demand | None = None
    redis: Literal["lost", "returns"] | None = None
    drain: str | None = None
    weight: Weight | None = None
    clear: str | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        happens = [
            name for name in type(self).model_fields if name != "at" and getattr(self, name) is not None
        ]
        if len(happens) != 1:
            raise ValueError(
                "an event is one thing: dies, returns, flaps, servers, demand, redis, drain, ..."
            )
        return self

    @property
    def kind(self) -> str:
        """Which of them it is."""
        return next(
            name for name in type(self).model_fields if name != "at" and getattr(self, name) is not None
        )

    @property
    def regions(self) -> Iterator[str]:
        """Those that it names."""
        for named in (self.dies, self.returns, self.drain, self.clear):
            if named is not None:
                yield named
        for within in (self.flaps, self.servers, self.weight):
            if within is not None:
                yield within.region
        if self.demand is not None and self.demand.where.region is not None:
            yield self.demand.where.region

    @property
    def is_a_word(self) -> bool:
        """Whether it is an operator's, which takes Redis."""
        return self.kind in ("drain", "weight", "clear")

    def __str__(self) -> str:
        """As a picture tells it."""
        if self.demand is not None:
            where = self.demand.where
            whose = where.continent or where.country or where.region
            return f"demand × {self.demand.times:g}" + (f" in {whose}" if whose else "")
        if self.redis is not None:
            return f"Redis {'is ' if self.redis == 'lost' else ''}{self.redis}"
        if self.servers is not None:
            return f"{self.servers.region} has {self.servers.share:.0%} of its servers"
        if self.weight is not None:
            return f"weight {self.weight.region} {self.weight.weight:g}"
        if self.flaps is not None:
            return f"{self.flaps.region} flaps"
        if self.is_a_word:
            return f"{self.kind} {self.drain or self.clear}"
        return f"{self.dies or self.returns} {self.kind}"


class Scenario(Entry):
    """duration, warm_up: seconds; nothing happens in the latter, and nothing of it is told.

    load: the demand at the beginning, as a part of what all regions can carry. clients: how many ask for it.
    resolvers: how many they ask through. nodes: DNS nodes, each with a world of its own. service: None for
    the fleet's first. regions: of how many the fleet is made up; None: of those of the file.
    """

    title: str
    description: str = ""
    duration: LongTime
    warm_up: LongTime = 180
    load: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
    clients: Annotated[int, Field(ge=1, le=10_000_000_000)] = 1_000_000
    resolvers: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    nodes: Annotated[int, Field(ge=1, le=16)] = 3
    service: str | None = None
    regions: Annotated[int, Field(ge=1, le=1000)] | None = None
    events: tuple[Event, ...] = ()


SHIPPED = files("gslb.simulate") / "scenarios"
FLEET = "fleet.yaml"
"""The fleet of the scenarios that come with the package, beside them."""


def shipped() -> tuple[str, ...]:
    """The names of the scenarios that come with the package."""
    names = (entry.name for entry in SHIPPED.iterdir())
    return tuple(
        sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml") and name != FLEET)
    )


def find_scenario(named: str) -> Path:
    """A file, or one that comes with the package by its name. Raises GslbError if there is neither."""
    path = Path(named)
    if path.is_file():
        return path
    if named in shipped():
        return Path(str(SHIPPED / f"{named}.yaml"))
    raise GslbError(f"there is no scenario {named!r}", hint=f"name a file, or one of {', '.join(shipped())}")


def read_scenario(path: Path) -> Scenario:
    """Raises ConfigError with everything that is wrong, each at its place in the file."""
    try:
        text = read_text(path)
    except UnreadableError as unreadable:
        raise ConfigError(
            [Problem(Place(str(path)), f"the scenario {unreadable.what}", unreadable.hint)]
        ) from None
    findings = Findings(parse(text, str(path), {}))
    scenario = None if findings.errors else validated(findings, (), Scenario, findings.document.data)
    if scenario is not None:
        _check_course(findings, scenario)
    if scenario is None or findings.errors:
        raise ConfigError(findings.errors)
    return scenario


def check_against(scenario: Scenario, fleet: Fleet) -> None:
    """Raises GslbError if the scenario names what the fleet does not have."""
    if not fleet.services:
        raise GslbError(
            f"{fleet.file} has no service that could be simulated", hint="add one under `services`"
        )
    if scenario.service is not None and scenario.service not in fleet.services:
        raise GslbError(
            f"{fleet.file} has no service {scenario.service!r}", hint=f"it has {', '.join(fleet.services)}"
        )
    for event in scenario.events:
        for region in event.regions:
            if region not in fleet.regions:
                known = ", ".join(list(fleet.regions)[:12])
                raise GslbError(
                    f"{fleet.file} has no region {region!r}, of which an event tells", hint=f"it has {known}"
                )


def _check_course(findings: Findings, scenario: Scenario) -> None:
    """What only follows from several events, or from tables."""
    redis_is_there = True
    for number, event in sorted(enumerate(scenario.events), key=lambda each: each[1].at):
        place = ("events", number)
        if event.at >= scenario.duration:
            findings.error((*place, "at"), "the scenario is over by then", "let it last longer")
        if event.redis is not None:
            redis_is_there = event.redis == "returns"
        elif event.is_a_word and not redis_is_there:
            findings.error(
                place, "Redis is away then, and no operator is heard", "move it, or Redis's return"
            )
        if event.flaps is not None and event.flaps.down >= event.flaps.every:
            findings.error((*place, "flaps"), "it would never be there", "`down` is a part of `every`")
        if event.demand is not None:
            where = event.demand.where
            if where.continent is not None and where.continent not in CONTINENTS.values():
                hint = f"choose from {', '.join(sorted(CONTINENTS.values()))}"
                findings.error((*place, "demand", "where", "continent"), "there is no such continent", hint)
            if where.country is not None and where.country not in countries():
                hint = "as in GB (ISO 3166-1)"
                findings.error((*place, "demand", "where", "country"), "there is no such country", hint)
