"""From a path to a Fleet, or to every error at once; with zones.py all that touches files here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from gslb.config.advice import advise
from gslb.config.crosschecks import cross_check
from gslb.config.document import parse
from gslb.config.findings import Findings
from gslb.config.sections import Sections, read_sections
from gslb.config.textfile import UnreadableError, read_text
from gslb.config.zones import check_zone, zone_source
from gslb.errors import ConfigError, Place, Problem
from gslb.fleet import Fleet, GeoSettings, ZoneSource


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of a look at a configuration, in the order of the file. fleet: None if there are errors."""

    fleet: Fleet | None
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def load(path: Path, *, environment: Mapping[str, str] = os.environ) -> Fleet:
    """The fleet that the file at `path` declares. Raises ConfigError with everything wrong, all at once."""
    result = check(path, environment=environment)
    if result.fleet is None:
        raise ConfigError(result.errors)
    return result.fleet


def check(path: Path, *, environment: Mapping[str, str] = os.environ) -> CheckResult:
    """Like `load`, but never raises, and tells what is legal but unwise as well (warnings)."""
    file = str(path)
    try:
        text = read_text(path)
    except UnreadableError as unreadable:
        return CheckResult(None, (_unreadable(file, unreadable),), ())
    findings = Findings(parse(text, file, environment))
    sections = read_sections(findings)
    cross_check(findings, sections)
    sections.geo = _database_paths(findings, sections.geo, path.parent)
    zones = _zones(findings, sections, path.parent, text.splitlines())
    if findings.errors:
        return CheckResult(None, tuple(sorted(findings.errors)), tuple(sorted(findings.warnings)))
    fleet = _fleet(file, sections, zones)
    advise(findings, fleet, sections)
    return CheckResult(fleet, (), tuple(sorted(findings.warnings)))


def _unreadable(file: str, unreadable: UnreadableError) -> Problem:
    if unreadable.before is None:
        hint = f"{unreadable.hint}, or name another file with --config or GSLB_CONFIG"
        return Problem(Place(file), f"the configuration {unreadable.what}", hint)
    line = unreadable.before.count(b"\n") + 1
    column = len(unreadable.before[unreadable.before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
    return Problem(Place(file, line, column), f"the configuration {unreadable.what}", unreadable.hint)


def _database_paths(findings: Findings, geo: GeoSettings, directory: Path) -> GeoSettings:
    """Databases by the path that opens them; one that does not exist is reported."""
    paths = []
    for index, database in enumerate(geo.databases):
        where = directory / database
        if "\0" in database or not where.is_file():
            place = ("geo", "databases", index)
            shown = findings.shown(place, database)
            hint = "relative paths begin at this file's directory; leave `databases` out for the bundled one"
            findings.error(place, f"{shown} is not a file", hint)
        paths.append(str(where))
    return replace(geo, databases=tuple(paths))


def _zones(
    findings: Findings, sections: Sections, directory: Path, lines: list[str]
) -> dict[str, ZoneSource]:
    from gslb.dns.zones import zones_below

    sources: dict[str, ZoneSource] = {}
    for name, entry in sections.zones.items():
        path = sections.paths["zones", name]
        source = zone_source(findings, path, name, entry, directory)
        if source is None or (*path, "records") in findings.document.broken:
            continue
        sources[name] = source
        services = [service for service in sections.services.values() if service.zone == name]
        check_zone(
            findings,
            path,
            source,
            [service.name for service in services],
            lines,
            aliases=[service.name for service in services if service.hostname_regions(sections.regions)],
            children=zones_below(name, sections.zones),
        )
    return sources


def _fleet(file: str, sections: Sections, zones: dict[str, ZoneSource]) -> Fleet:
    return Fleet(
        file=file,
        regions=MappingProxyType(sections.regions),
        pools=MappingProxyType(sections.pools),
        routes=tuple(route for _, route in sections.routes),
        services=MappingProxyType(sections.services),
        zones=MappingProxyType(zones),
        redis=sections.redis,
        geo=sections.geo,
        dns=sections.dns,
        edge=sections.edge,
    )
