"""From a path to a Fleet, or to every error at once; files are touched by few others here."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from gslb.config.advice import advise
from gslb.config.certificates import check_access_log, check_certificates, resolve_edge_files
from gslb.config.crosschecks import check_hostname_targets, cross_check
from gslb.config.document import parse
from gslb.config.findings import Findings
from gslb.config.sections import Sections, read_sections
from gslb.config.state_folder import AUTO
from gslb.config.textfile import UnreadableError, read_text
from gslb.config.zones import bad_byte, check_zone, zone_source
from gslb.errors import ConfigError, GeoError, Place, Problem
from gslb.fleet import Fleet, GeoSettings, Service, ZoneSource

if TYPE_CHECKING:
    from gslb.dns.zone import Zone
    from gslb.dns.zones import Zones
    from gslb.geo.database import Signature

_DATABASES_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of a look at a configuration, in the order of the file.

    fleet: None if there are errors. zones: its zones as they are served, None as well.
    """

    fleet: Fleet | None
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    zones: Zones | None = None


def load(path: Path, *, environment: Mapping[str, str] = os.environ, certificates: bool = False) -> Fleet:
    """The fleet that the file at `path` declares. Raises ConfigError with everything wrong, all at once.

    certificates: see `check`.
    """
    result = check(path, environment=environment, certificates=certificates)
    if result.fleet is None:
        raise ConfigError(result.errors)
    return result.fleet


def check(
    path: Path, *, environment: Mapping[str, str] = os.environ, certificates: bool = False
) -> CheckResult:
    """Like `load`, but never raises, and tells what is legal but unwise as well (warnings).

    certificates: whether to look into the files of certificates, keys and roots as well. Who needs them does:
    the edges. The other processes read the same regions.yaml, and do well not to have the keys.
    """
    file = str(path)
    try:
        text = read_text(path, pipe=True)
    except UnreadableError as unreadable:
        return CheckResult(None, (_unreadable(file, unreadable),), ())
    findings = Findings(parse(text, file, environment))
    sections = read_sections(findings)
    cross_check(findings, sections)
    sections.geo = _database_paths(findings, sections.geo, path.parent)
    sections.dns = replace(sections.dns, state=_folder(sections.dns.state, path.parent))
    resolve_edge_files(sections, path.parent)
    check_access_log(findings, sections)
    if certificates:
        check_certificates(findings, sections)
    sources, zones = _zones(findings, sections, path.parent, text.splitlines())
    check_hostname_targets(findings, sections, zones)
    if findings.errors:
        return CheckResult(None, tuple(sorted(findings.errors)), tuple(sorted(findings.warnings)))
    fleet = _fleet(file, sections, sources)
    advise(findings, fleet, sections)
    return CheckResult(fleet, (), tuple(sorted(findings.warnings)), zones)


def _unreadable(file: str, unreadable: UnreadableError) -> Problem:
    if unreadable.before is None:
        hint = f"{unreadable.hint}, or name another file with --config or GSLB_CONFIG"
        return Problem(Place(file), f"the configuration {unreadable.what}", hint)
    where = bad_byte(file, unreadable.before)
    return Problem(where, f"the configuration {unreadable.what}", unreadable.hint)


def _database_paths(findings: Findings, geo: GeoSettings, directory: Path) -> GeoSettings:
    """Databases and the cache by their paths; a database that cannot be used is reported."""
    paths = []
    for index, database in enumerate(geo.databases):
        where = directory / database
        place = ("geo", "databases", index)
        shown = findings.shown(place, database)
        if "\0" in database or not where.is_file():
            hint = "relative paths begin at this file's directory; leave `databases` out for the bundled one"
            findings.error(place, f"{shown} is not a file", hint)
        else:
            fault = _fault(str(where))
            if fault is not None:
                findings.error(place, f"{shown} {fault[0]}", fault[1])
        paths.append(str(where))
    return replace(geo, databases=tuple(paths), cache=_folder(geo.cache, directory))


def _folder(said: str | None, directory: Path) -> str | None:
    """By its path, unless there is none or the system provides one."""
    return said if said in (None, AUTO) else str(directory / said)


def _fault(path: str) -> tuple[str, str] | None:
    """What is wrong with the database, without its name, and the remedy; None when it can be used."""
    from gslb.geo.database import Signature

    try:
        return _fault_of(path, Signature.of(path))
    except GeoError as error:
        return _without_name(path, error)


@lru_cache(maxsize=_DATABASES_REMEMBERED)
def _fault_of(path: str, signature: Signature) -> tuple[str, str] | None:
    """The fault of the file in the state that `signature` tells: a reload need not read it again."""
    from gslb.geo.database import Database

    try:
        Database(path)
    except GeoError as error:
        return _without_name(path, error)
    return None


def _without_name(path: str, error: GeoError) -> tuple[str, str]:
    return error.message.removeprefix(f"{path}: "), error.hint or ""


def _zones(
    findings: Findings, sections: Sections, directory: Path, lines: list[str]
) -> tuple[dict[str, ZoneSource], Zones]:
    """The data of the zones, and the zones made of it, as far as they could be."""
    from gslb.dns.zones import Zones, zones_below

    sources: dict[str, ZoneSource] = {}
    zones: list[Zone] = []
    below = zones_below(sections.zones)
    services: dict[str, list[Service]] = defaultdict(list)
    for service in sections.services.values():
        services[service.zone].append(service)
    for name, entry in sections.zones.items():
        path = sections.paths["zones", name]
        source = zone_source(findings, path, name, entry, directory, lines)
        if source is None or (*path, "records") in findings.document.broken:
            continue
        sources[name] = source
        here = services[name]
        zone = check_zone(
            findings,
            path,
            source,
            [service.name for service in here],
            lines,
            aliases=[service.name for service in here if service.hostname_regions(sections.regions)],
            children=below[name],
        )
        zones += [zone] if zone is not None else []
    return sources, Zones({zone.apex: zone for zone in zones})


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
