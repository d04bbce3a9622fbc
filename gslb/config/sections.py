"""Reads every section and every entry on its own, so that one bad entry hides no other."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gslb.config.balancing import read_key, read_method
from gslb.config.capacity import CapacitySection
from gslb.config.checks import default_edge_check, default_tcp_check, read_check
from gslb.config.discovery import discoveries, listed_servers
from gslb.config.document import KeyPath
from gslb.config.edge_settings import EdgeSection
from gslb.config.explain import report
from gslb.config.findings import Findings
from gslb.config.models import FleetFile, GeoSection, RedisSection, RegionEntry, ServiceEntry
from gslb.config.name_servers import DnsSection, ZoneEntry
from gslb.config.policies import read_policies
from gslb.config.pools import PoolEntry
from gslb.config.references import Declared
from gslb.config.routes import RouteEntry
from gslb.config.salvage import salvage
from gslb.config.service_pools import pools_of_services
from gslb.config.sites import EdgeEntry
from gslb.config.suggest import did_you_mean, remedy
from gslb.config.values import (
    is_service_name,
    is_zone_name,
    parse_name,
    parse_service_name,
    parse_zone_name,
)
from gslb.config.wrong_value import WrongError
from gslb.fleet import (
    Balancing,
    BalancingKey,
    Bounds,
    DnsSettings,
    Edge,
    EdgeSettings,
    GeoSettings,
    HealthCheck,
    LocationOverride,
    Pool,
    RedisSettings,
    Region,
    Route,
    Service,
)

Model = TypeVar("Model", bound=BaseModel)
_NAMED = ("checks", "regions", "pools")


@dataclass(slots=True)
class Sections:
    """What could be read; whatever could not is left out, and reported. Keys of `paths`: (section, name)."""

    redis: RedisSettings = field(default_factory=RedisSettings)
    geo: GeoSettings = field(default_factory=GeoSettings)
    dns: DnsSettings = field(default_factory=lambda: DnsSettings({}))
    edge: EdgeSettings = field(default_factory=EdgeSettings)
    bounds: Bounds = field(default_factory=Bounds)
    zones: dict[str, ZoneEntry] = field(default_factory=dict)
    checks: dict[str, HealthCheck] = field(default_factory=dict)
    regions: dict[str, Region] = field(default_factory=dict)
    edges: list[tuple[KeyPath, Edge]] = field(default_factory=list)
    services: dict[str, Service] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    routes: list[tuple[KeyPath, Route]] = field(default_factory=list)
    paths: dict[tuple[str, str], KeyPath] = field(default_factory=dict)


def read_sections(findings: Findings) -> Sections:
    """Read the document of `findings`; everything wrong with single values is reported there."""
    root = findings.document.data
    sections = Sections()
    if not isinstance(root, dict):
        if root is not None:
            findings.error(
                (),
                f"the file must hold a mapping, and not {findings.shown((), root)}",
                "begin with `regions:`",
            )
        return sections
    data = _shaped(findings, root, _misspelt(findings, root))
    declared = Declared({section: tuple(data[section]) for section in _NAMED if section in data})
    _read_settings(findings, root, sections)
    for name, path, entry in _named(findings, data, "checks"):
        check = read_check(findings, path, name, entry)
        if check is not None:
            sections.checks[name] = check
    _read_regions(findings, data, declared, sections)
    _read_pools(findings, data, declared, sections)
    _read_routes(findings, root, declared, sections)
    _read_zones(findings, data, sections)
    _read_services(findings, data, declared, sections)
    return sections


def _misspelt(findings: Findings, root: dict[str, object]) -> set[str]:
    """Report unknown sections; the sections that were meant, so that nobody complains of their absence."""
    meant = set()
    for key in root:
        if key not in FleetFile.model_fields and not key.startswith("x-"):
            hint = remedy(key, FleetFile.model_fields, "sections")
            findings.error((key,), "unknown section", hint, key=True)
            likely = did_you_mean(key, FleetFile.model_fields)
            if likely is not None:
                meant.add(likely)
    return meant - root.keys()


def _shaped(findings: Findings, root: dict[str, object], misspelt: set[str]) -> dict[str, dict[str, object]]:
    """The sections that map names to entries, without those that cannot be read, which are reported."""
    shaped: dict[str, dict[str, object]] = {}
    for section in ("zones", "checks", "regions", "services", "pools"):
        value = {} if root.get(section) is None else root[section]
        if isinstance(value, dict):
            if section not in misspelt:
                shaped[section] = value
        else:
            shown = findings.shown((section,), value)
            message = f"must map names to entries, and {shown} does not"
            findings.error((section,), message, "write `name:` lines below it")
    if shaped.get("regions", True) == {}:
        here: KeyPath = ("regions",) if "regions" in root else ()
        hint = "declare where clients go under `regions:`"
        findings.error(here, "a fleet needs at least one region", hint, key=True)
    return shaped


def validated(
    findings: Findings, path: KeyPath, model: type[Model], data: object, declared: Declared | None = None
) -> Model | None:
    """`data`, which stands at `path`, as `model`; None when something is wrong with it, which is reported."""
    try:
        return model.model_validate(data, context=declared)
    except ValidationError as error:
        report(findings, path, data, error, model)
        return None


def _settings(findings: Findings, root: dict[str, object], section: str, model: type[Model]) -> Model | None:
    """A section of settings; of a bad one, which is reported, what is good, for further checks."""
    # A heading with nothing below it is the same as none.
    data = {} if root.get(section) is None else root[section]
    try:
        return model.model_validate(data)
    except ValidationError as error:
        report(findings, (section,), data, error, model)
        salvaged = salvage(model, data, error)
        return salvaged[0] if salvaged else None


def _named(
    findings: Findings,
    data: Mapping[str, dict[str, object]],
    section: str,
    parse: Callable[[object], str] = parse_name,
) -> list[tuple[str, KeyPath, object]]:
    """(name, path, entry) of every entry of a section whose key is a legal name that no other one has."""
    entries: dict[str, tuple[str, KeyPath, object]] = {}
    for key, entry in data.get(section, {}).items():
        path = (section, key)
        try:
            name = parse(key)
        except WrongError as wrong:
            findings.error(path, wrong.text(repr(key)), wrong.hint, key=True)
            name = key
        if name in entries:
            findings.error(
                path, f"this is the same name as {entries[name][1][1]!r}", "remove one of them", key=True
            )
            continue
        entries[name] = (name, path, entry)
    return list(entries.values())


def _read_settings(findings: Findings, root: dict[str, object], sections: Sections) -> None:
    redis = _settings(findings, root, "redis", RedisSection)
    if redis is not None:
        sections.redis = RedisSettings(redis.url, redis.poll, redis.lease, redis.timeout)
    geo = _settings(findings, root, "geo", GeoSection)
    if geo is not None:
        overrides = tuple(
            LocationOverride(override.network, override.location(f"override {override.network}"))
            for override in geo.overrides
        )
        default = geo.default.location("default")
        sections.geo = GeoSettings(tuple(geo.databases), default, overrides, geo.poll, geo.cache)
    dns = _settings(findings, root, "dns", DnsSection)
    if dns is not None:
        sections.dns = dns.settings()
    edge = _settings(findings, root, "edge", EdgeSection)
    if edge is not None:
        sections.edge = edge.settings()
    capacity = _settings(findings, root, "capacity", CapacitySection)
    if capacity is not None:
        sections.bounds = capacity.bounds()


def _read_regions(
    findings: Findings, data: Mapping[str, dict[str, object]], declared: Declared, sections: Sections
) -> None:
    of_edges, of_hostnames = default_edge_check(sections.edge.health_path), default_tcp_check()
    for name, path, data_of_region in _named(findings, data, "regions"):
        sections.paths["regions", name] = path
        entry = validated(findings, path, RegionEntry, data_of_region, declared)
        if entry is None:
            _salvage_edges(name, path, data_of_region, sections)
            continue
        edges = [edge.edge(name, index) for index, edge in enumerate(entry.edges or ())]
        sections.edges.extend(((*path, "edges", index), edge) for index, edge in enumerate(edges))
        fallback = of_edges if entry.hostname is None else of_hostnames
        check = sections.checks.get(entry.check) if entry.check is not None else fallback
        if check is None:
            continue
        servers = {pool: listed_servers(name, pool, members) for pool, members in entry.servers.items()}
        found = {pool: where for pool, members in entry.servers.items() if (where := discoveries(members))}
        sections.regions[name] = Region(
            name,
            entry.coordinates.coordinates(),
            tuple(edges),
            check,
            MappingProxyType(servers),
            entry.description,
            entry.capacity,
            entry.hostname,
            entry.probed(),
            MappingProxyType(found),
            entry.bounds_beside(sections.bounds),
        )


def _salvage_edges(name: str, path: KeyPath, data: object, sections: Sections) -> None:
    """Keep the good edges of a bad region, so that clashes with the edges of others are found at once."""
    edges = data.get("edges") if isinstance(data, dict) else None
    for index, edge in enumerate(edges if isinstance(edges, list) else ()):
        try:
            entry = EdgeEntry.model_validate(edge)
        except ValidationError:
            continue
        sections.edges.append(((*path, "edges", index), entry.edge(name, index)))


def _read_pools(
    findings: Findings, data: Mapping[str, dict[str, object]], declared: Declared, sections: Sections
) -> None:
    fallback = default_tcp_check()
    for name, path, data_of_pool in _named(findings, data, "pools"):
        sections.paths["pools", name] = path
        entry = validated(findings, path, PoolEntry, {} if data_of_pool is None else data_of_pool, declared)
        said = data_of_pool if isinstance(data_of_pool, dict) else {}
        method = read_method(findings, (*path, "method"), said["method"]) if "method" in said else Balancing()
        key = read_key(findings, (*path, "key"), said["key"]) if "key" in said else BalancingKey()
        if entry is not None and method is not None and key is not None:
            check = sections.checks.get(entry.check) if entry.check is not None else fallback
            if check is not None:
                sections.pools[name] = entry.pool(name, check, method, key)


def _read_routes(findings: Findings, root: dict[str, object], declared: Declared, sections: Sections) -> None:
    routes = root.get("routes")
    if routes is None:
        return
    if not isinstance(routes, list):
        shown = findings.shown(("routes",), routes)
        findings.error(("routes",), f"must be a list, and {shown} is not", "write lines that begin with `-`")
        return
    for index, route in enumerate(routes):
        path: KeyPath = ("routes", index)
        entry = validated(findings, path, RouteEntry, route, declared)
        if entry is not None:
            sections.routes.append((path, entry.route(sections.edge)))


def _read_zones(findings: Findings, data: Mapping[str, dict[str, object]], sections: Sections) -> None:
    for name, path, data_of_zone in _named(findings, data, "zones", parse_zone_name):
        sections.paths["zones", name] = path
        entry = validated(findings, path, ZoneEntry, {} if data_of_zone is None else data_of_zone)
        if entry is not None and is_zone_name(name):
            sections.zones[name] = entry


def _read_services(
    findings: Findings, data: Mapping[str, dict[str, object]], declared: Declared, sections: Sections
) -> None:
    all_regions = declared.names.get("regions", ())
    zones = {zone: None for section, zone in sections.paths if section == "zones"}
    for name, path, data_of_service in _named(findings, data, "services", parse_service_name):
        sections.paths["services", name] = path
        zone = zone_of(name, zones)
        if zone is None and "zones" in data:
            hint = remedy(name, zones, "zones") if zones else "declare its zone under `zones:`"
            findings.error(path, "the name lies in none of the zones", hint, key=True)
        entry = validated(findings, path, ServiceEntry, data_of_service, declared)
        if not isinstance(data_of_service, dict) or "policy" not in data_of_service:
            continue
        regions = tuple(entry.regions or all_regions) if entry is not None else None
        policies = read_policies(findings, (*path, "policy"), data_of_service["policy"], declared, regions)
        if entry and zone and policies and regions and is_service_name(name):
            ttl, answers = entry.ttl.time_to_live(), entry.answers.answers()
            sections.services[name] = Service(name, zone, regions, policies, ttl, entry.all_down, answers)
    pools = pools_of_services(sections.services, [route for _, route in sections.routes])
    for name, service in sections.services.items():
        sections.services[name] = replace(service, pools=pools[name])


def zone_of(name: str, zones: Container[str]) -> str | None:
    """The longest of `zones` that `name` lies in."""
    while name and name not in zones:
        name = name.partition(".")[2]
    return name or None
