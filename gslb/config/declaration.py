"""What a fleet's file says, as plain text by section and name: what two fleets are compared by.

Nothing secret is in it, so that a node may show it to whoever reads its admin side.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass, replace
from hashlib import blake2b
from pathlib import PurePath
from typing import Any

import dns.rdata
from dns.rdatatype import RdataType
from dnslib import DNSBuffer

from gslb.config.check_timings import QUORUMS
from gslb.dns.name import Name, to_text
from gslb.dns.rdata import AAAA, A, RecordData, type_text
from gslb.dns.zone import RRset
from gslb.dns.zones import Zones, load_zones
from gslb.fleet import (
    AddressRecords,
    Balancing,
    BalancingKey,
    Certificate,
    Connections,
    Damping,
    Edge,
    EdgeSettings,
    Fleet,
    HealthCheck,
    Listener,
    ListenerKind,
    LocationOverride,
    Pool,
    QueueSettings,
    Quorum,
    Region,
    Retries,
    Secret,
    Server,
    ServersFile,
    ServerTls,
    ServiceRecords,
    SocketAddress,
    Spill,
    Timeouts,
)
from gslb.geo.location import Coordinates, Location

Declaration = Mapping[str, Mapping[str, str]]
"""By section and name: the text of what is declared. Plain enough for JSON."""

SECTIONS = (
    "regions", "edges", "services", "zones", "records", "pools", "routes", "checks", "settings"
)  # fmt: skip
"""In the order in which differences are told. A record's name is `ZONE OWNER TYPE`."""

HIDDEN = "***"

Seal = Callable[[Secret], str]
"""How a secret shows: not at all, or as a mark that only its maker can compare."""

_LEAVES = (SocketAddress, Coordinates, Location, Secret)
"""What a setting says in one piece."""

_GROUPS = (Connections, QueueSettings, Retries, ServerTls, Spill, Timeouts)
"""What an entry says in several pieces, of which only those that differ are worth telling."""

_OF_SERVICE = ("name", "pools")
"""What need not be said of a service: its pools follow from routes, which are told themselves."""

_PLAIN = re.compile(r"[\w./:@%*+?~^$|!<>=\-\[\]\\]+")
_MARK = re.compile(r"\*\*\*#[0-9a-f]{16}")


def hidden(secret: Secret) -> str:
    """Every secret looks alike."""
    return HIDDEN


def marked(key: bytes) -> Seal:
    """A seal under which equal secrets, and only those, look alike; without `key` nobody can guess one."""

    def mark(secret: Secret) -> str:
        return f"{HIDDEN}#{blake2b(secret.reveal().encode(), digest_size=8, key=key).hexdigest()}"

    return mark


def without_marks(text: str) -> str:
    """The text as everybody may see it."""
    return _MARK.sub(HIDDEN, text)


def declaration(fleet: Fleet, zones: Zones | None = None, *, seal: Seal = hidden) -> Declaration:
    """All that `fleet` declares.

    zones: the fleet's, when they are read already; else they are read, which raises ZoneError.
    """
    write = _Writer(seal)
    checks = [region.check for region in fleet.regions.values()]
    checks += [pool.check for pool in fleet.pools.values()]
    edges = [edge for region in fleet.regions.values() for edge in region.edges]
    return {
        "regions": {
            name: write.region(_region_beside(fleet.file, region)) for name, region in fleet.regions.items()
        },
        "edges": {edge.name: write.item(edge) for edge in edges},
        "services": {name: write.item(each, but=_OF_SERVICE) for name, each in fleet.services.items()},
        "zones": {name: write.item(zone, only=("transfers",)) for name, zone in fleet.zones.items()},
        "records": _records(zones or load_zones(fleet)),
        "pools": {name: write.item(_pool_beside(fleet.file, pool)) for name, pool in fleet.pools.items()},
        "routes": {
            " ".join((f"{route.host or '*'}{route.path}", *sorted(route.methods))): write.item(
                route,
                only=(
                    "pool",
                    "timeouts",
                    "retries",
                    "max_body",
                    "rate_limit",
                    "priority",
                    "hedge",
                    "mirror",
                ),
            )
            for route in fleet.routes
        },
        "checks": {check.name: write.check(check) for check in checks},
        "settings": settings(fleet, seal=seal),
    }


def settings(fleet: Fleet, *, seal: Seal = hidden) -> Mapping[str, str]:
    """The section `settings` alone."""
    write = _Writer(seal)
    databases = tuple(_beside(fleet.file, path) for path in fleet.geo.databases)
    cache = fleet.geo.cache and _beside(fleet.file, fleet.geo.cache)
    geo = replace(fleet.geo, databases=databases, cache=cache)
    edge = _edge_beside(fleet.file, fleet.edge)
    dns = replace(fleet.dns, state=fleet.dns.state and _beside(fleet.file, fleet.dns.state))
    parts = {"dns": dns, "geo": geo, "redis": fleet.redis, "edge": edge}
    return dict(setting for name, part in parts.items() for setting in write.settings(name, part))


def _beside(file: str, path: str) -> str:
    """The path as the fleet's file has it, however that file itself was named."""
    directory = PurePath(file).parent
    return str(PurePath(path).relative_to(directory)) if PurePath(path).is_relative_to(directory) else path


def _edge_beside(file: str, edge: EdgeSettings) -> EdgeSettings:
    tls = replace(
        edge.tls,
        certificates=tuple(_certificate_beside(file, each) for each in edge.tls.certificates),
        client_ca=edge.tls.client_ca and _beside(file, edge.tls.client_ca),
    )
    log = replace(edge.access_log, file=edge.access_log.file and _beside(file, edge.access_log.file))
    return replace(edge, tls=tls, access_log=log)


def _pool_beside(file: str, pool: Pool) -> Pool:
    if pool.tls is None:
        return pool
    shown = pool.tls.certificate and _certificate_beside(file, pool.tls.certificate)
    return replace(
        pool, tls=replace(pool.tls, ca=pool.tls.ca and _beside(file, pool.tls.ca), certificate=shown)
    )


def _region_beside(file: str, region: Region) -> Region:
    found = {
        pool: tuple(
            ServersFile(_beside(file, each.path)) if isinstance(each, ServersFile) else each for each in where
        )
        for pool, where in region.discovery.items()
    }
    return replace(region, discovery=found)


def _certificate_beside(file: str, certificate: Certificate) -> Certificate:
    return Certificate(_beside(file, certificate.chain), _beside(file, certificate.key))


class _Writer:
    """Writes declared objects; whatever fields they may get later are written as well."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def item(
        self, declared: object, only: Sequence[str] | None = None, but: Sequence[str] = ("name",)
    ) -> str:
        """One `key: value` a line for each field in `only`, else for each but those of `but`."""
        return "\n".join(
            line
            for key, value in _fields(declared)
            if (key not in but if only is None else key in only)
            for line in self._lines(key, value)
        )

    def region(self, region: Region) -> str:
        servers = (
            f"servers.{pool}: {self.text((*members, *region.discovery.get(pool, ())))}"
            for pool, members in region.servers.items()
            if members or pool in region.discovery
        )
        rest = self.item(region, but=("name", "servers", "discovery", "bounds"))
        return "\n".join((rest, self.item(region.bounds), *servers))

    def check(self, check: HealthCheck) -> str:
        """The timings, and the options of the check; what a request carries may be a password."""
        lines = [self.item(check, but=("name", "check")), f"type: {check.check.name}"]
        for key, value in _fields(check.check):
            match key, value:
                case "headers", headers:
                    value = {name: Secret(content) for name, content in headers}
                case "send", bytes():
                    value = Secret(value.decode("utf-8", "backslashreplace"))
                case "path", str() if "?" in value:
                    path, _, query = value.partition("?")
                    value = f"{path}?{self._seal(Secret(query))}"
            lines.append(f"{key}: {self.text(value)}")
        return "\n".join(lines)

    def settings(self, name: str, value: object) -> Iterator[tuple[str, str]]:
        """One entry for each setting, however deep, as `dns.tcp.connections`."""
        if isinstance(value, Mapping):
            members: Iterable[tuple[str, object]] = value.items()
        elif isinstance(value, tuple) and value and isinstance(value[0], LocationOverride):
            members = ((str(override.network), override.location) for override in value)
        elif is_dataclass(value) and not isinstance(value, _LEAVES):
            members = ((key, each) for key, each in _fields(value) if key != "name")
        else:
            yield name, self.text(value)
            return
        for key, member in members:
            yield from self.settings(f"{name}.{key}", member)

    def _lines(self, key: str, value: object) -> list[str]:
        if isinstance(value, _GROUPS):
            return [f"{key}.{name}: {self.text(each)}" for name, each in _fields(value)]
        if isinstance(value, tuple) and value and is_dataclass(value[0]) and not isinstance(value[0], Edge):
            return [f"{key}.{place}: {self.text(each)}" for place, each in enumerate(value, 1)]
        return [f"{key}: {self.text(value)}"]

    def text(self, value: Any) -> str:
        """A value in one line; equal values, and only those, have equal texts."""
        match value:
            case None:
                return "none"
            case bool():
                return "yes" if value else "no"
            case float():
                return repr(value).removesuffix(".0")
            case str():
                plain = _PLAIN.fullmatch(value) and value not in ("none", "yes", "no")
                return str(value) if plain else json.dumps(str(value), ensure_ascii=False)
            case bytes():
                return self.text(value.decode("utf-8", "backslashreplace"))
            case Secret():
                return self._seal(value)
            case re.Pattern():
                return self.text(value.pattern)
            case Edge() | HealthCheck():
                return self.text(value.name)
            case Server():
                return self._server(value)
            case AddressRecords() | ServiceRecords() | ServersFile():
                # What it begins with is the first of its fields.
                return f"{value} {self._braces(_fields(value)[1:])}".removesuffix(" {}")
            case Balancing():
                options = dict(value.options or {})
                return f"{value.name} {self._braces(options.items())}".removesuffix(" {}")
            case Quorum():
                named = next((name for name, quorum in QUORUMS.items() if quorum == value), None)
                return named or self.text(value.share)
            case Damping(flaps=0):
                return "off"
            case SocketAddress() | BalancingKey():
                return str(value)
            case Listener():
                said = [name for name, each in _fields(value) if each is True]
                return " ".join((value.label, *said, *self._passed_on(value)))
            case Mapping():
                return self._braces((str(key), each) for key, each in value.items())
            case Set():
                return ", ".join(sorted(map(self.text, value))) or "none"
            case Sequence():
                return (
                    ", ".join(f"[{text}]" if "," in text else text for text in map(self.text, value))
                    or "none"
                )
        if is_dataclass(value):
            kind = getattr(type(value), "name", None)
            braces = self._braces(_fields(value))
            return f"{kind} {braces}".removesuffix(" {}") if isinstance(kind, str) else braces
        return str(value)

    def _passed_on(self, listener: Listener) -> Iterator[str]:
        """What a listener of another kind than HTTP says beyond its socket."""
        if listener.kind is ListenerKind.HTTP:
            return
        names = ("pool", "server_names", *(("idle", "sessions") if listener.datagrams else ("timeouts",)))
        yield self._braces((name, getattr(listener, name)) for name in names if getattr(listener, name))

    def _server(self, server: Server) -> str:
        most = "" if server.max_connections is None else f" max_connections {server.max_connections}"
        return f"{server.address} weight {server.weight}{most}{' backup' if server.backup else ''}"

    def _braces(self, members: Iterable[tuple[str, object]]) -> str:
        return "{" + ", ".join(f"{key}: {self.text(each)}" for key, each in members) + "}"


def _fields(declared: object) -> list[tuple[str, Any]]:
    return [(field.name, getattr(declared, field.name)) for field in fields(declared)]  # type: ignore[arg-type]


def _records(zones: Zones) -> dict[str, str]:
    """Every RRset, in the text of zone files, its records in an order of their own."""
    return {
        f"{_owner(apex)} {_owner(owner)} {type_text(rtype)}": "\n".join(sorted(_data(rrset)))
        for apex, zone in zones.by_apex.items()
        for owner, rrsets in zone.nodes.items()
        for rtype, rrset in rrsets.items()
    }


def _owner(name: Name) -> str:
    """As services are spelled: without the final dot."""
    text = to_text(name)
    return text[:-1] if len(text) > 1 else text


def _data(rrset: RRset) -> Iterator[str]:
    for data in rrset.data:
        yield f"{rrset.ttl} {data.toZone() if rrset.type in (A, AAAA) else _text(rrset.type, data)}"


def _text(rtype: int, data: RecordData) -> str:
    """Read again from the wire, as only so every character is escaped that must be. Addresses need it not."""
    buffer = DNSBuffer()
    data.pack(buffer)
    wire = bytes(buffer.data)
    return dns.rdata.from_wire("IN", RdataType.make(rtype), wire, 0, len(wire)).to_text()
