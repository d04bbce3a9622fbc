"""The sections of regions.yaml as pydantic models: the keys, their types, defaults and meanings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from gslb.config.places import CoordinatesEntry, LocationEntry, OverrideEntry
from gslb.config.redis_url import RedisUrl
from gslb.config.suggest import remedy
from gslb.config.values import (
    NUMBER,
    WHOLE,
    Duration,
    HostName,
    ListenText,
    Method,
    Name,
    PathPrefix,
    Port,
    PublicAddress,
    SocketText,
    Text,
    TtlSeconds,
    listed,
    parse_address,
    parse_duration,
)
from gslb.config.wrong_value import WrongError
from gslb.fleet import (
    AllDown,
    BalancingMethod,
    DnsSettings,
    EdgeSettings,
    GeoSettings,
    HealthCheck,
    RedisSettings,
    SocketAddress,
    TimeToLive,
)
from gslb.geo.location import IPAddress

# The defaults have one home: the settings as everybody else knows them.
_REDIS = RedisSettings()
_GEO = GeoSettings()
_DNS = DnsSettings({})
_EDGE = EdgeSettings()
_TTL = TimeToLive()
_CHECK: dict[str, Any] = {each.name: each.default for each in fields(HealthCheck)}


@dataclass(frozen=True, slots=True)
class Declared:
    """The names that the file declares, right or wrong otherwise; references are checked against them.

    Passed as pydantic's validation context, so that a wrong name is found where all else is. A section
    that cannot be read is not in `names`, and references to it are not checked.
    """

    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def reference(section: str, singular: str) -> AfterValidator:
    """A validator that the text is a name declared in `section`."""

    def check(name: str, info: ValidationInfo) -> str:
        if isinstance(info.context, Declared) and section in info.context.names:
            known = info.context.names[section]
            if name not in known:
                hint = f"declare it under `{section}:`"
                raise WrongError(
                    f"there is no {singular} {{value}}", hint, derived=remedy(name, known, section)
                )
        return name

    return AfterValidator(check)


RegionReference = Annotated[Text, reference("regions", "region")]
PoolReference = Annotated[Text, reference("pools", "pool")]
CheckReference = Annotated[Text, reference("checks", "check")]


class Entry(BaseModel, extra="forbid", frozen=True):
    """Root of all sections and entries: unknown keys are errors."""


class RedisSection(Entry):
    """The shared memory of all processes."""

    url: RedisUrl = Field(
        None, description="where Redis or Valkey is; left out or empty, every process stands alone"
    )
    poll: Duration = Field(_REDIS.poll, description="how often everything is read again")
    lease: Duration = Field(_REDIS.lease, description="how long the word of a silent observer counts")
    timeout: Duration = Field(_REDIS.timeout, description="how long one answer of Redis may take")


class GeoSection(Entry):
    """Where clients are."""

    databases: Annotated[list[Text], BeforeValidator(listed)] = Field(
        [],
        description="MMDB files, consulted in order, relative to this file; none: the bundled one",
    )
    default: LocationEntry = Field(LocationEntry(), description="where private and unknown addresses are")
    overrides: list[OverrideEntry] = Field([], description="your own word on networks; beats every database")
    poll: Duration = Field(_GEO.poll, description="how often to look for replaced database files")


class NodeEntry(Entry):
    """One DNS node; several need nothing but this file and Redis in common."""

    listen: Annotated[list[ListenText], BeforeValidator(listed), Field(min_length=1)] = Field(
        [SocketAddress("0.0.0.0", 53), SocketAddress("::", 53)],
        description="sockets to answer on, UDP and TCP",
    )
    admin: ListenText | None = Field(
        SocketAddress("127.0.0.1", 8053),
        description="socket of state, metrics and dashboard; `null` for none",
    )

    @model_validator(mode="before")
    @classmethod
    def _all_defaults(cls, value: object) -> object:
        return {} if value is None else value


class DnsSection(Entry):
    """What all DNS nodes share."""

    nodes: dict[Name, NodeEntry] = Field({}, description="the DNS nodes, by name")
    udp_payload: Annotated[int, Field(ge=512, le=4096), WHOLE] = Field(
        _DNS.udp_payload, description="largest UDP answer, in bytes (RFC 9715)"
    )
    client_subnet: bool = Field(
        _DNS.client_subnet, description="whether EDNS client subnet is honoured (RFC 7871)"
    )
    initial_round: Duration = Field(
        _DNS.initial_round, description="how long the first answer waits for a first round of probes"
    )


class ZoneEntry(Entry):
    """A zone's static data, here or in a file of its own."""

    records: Text | None = Field(
        None, description="zone-file text (RFC 1035), as a literal block: `records: |`"
    )
    file: Text | None = Field(
        None, description="a zone file, relative to this file's directory and inside it"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if self.records is None and self.file is None:
            raise WrongError(
                "has neither records nor a file", "write `records: |` and the zone's data below it"
            )
        if self.records is not None and self.file is not None:
            raise WrongError("has both records and a file", "keep one of them")
        return self


class CheckTimings(Entry):
    """What every check has, whatever its type: how often, and how many outcomes flip a target."""

    interval: Duration = Field(_CHECK["interval"], description="from one probe to the next")
    timeout: Duration = Field(_CHECK["timeout"], description="how long one probe may take")
    rise: Annotated[int, Field(ge=1, le=1000), WHOLE] = Field(
        _CHECK["rise"], description="successes in a row that mean UP"
    )
    fall: Annotated[int, Field(ge=1, le=1000), WHOLE] = Field(
        _CHECK["fall"], description="failures in a row that mean DOWN"
    )


def _single_probe(value: object) -> object:
    return value if isinstance(value, dict) or value is None else {"*": value}


def _parse_probed(value: object) -> IPAddress | str:
    return "*" if value == "*" else parse_address(value)


_PROBE_SCHEMA = {
    "anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}]
}


class EdgeEntry(Entry):
    """One reverse proxy of a region."""

    name: Name | None = Field(None, description="default: the region's name, `-`, and the place in this list")
    addresses: Annotated[list[PublicAddress], BeforeValidator(listed), Field(min_length=1)] = Field(
        description="public addresses, which DNS answers carry"
    )
    port: Port = Field(80, description="where clients reach it on each of them")
    listen: Annotated[list[ListenText], BeforeValidator(listed), Field(min_length=1)] | None = Field(
        None, description="sockets it binds; default: `port` of every address"
    )
    probe: Annotated[
        dict[Annotated[IPAddress | str, PlainValidator(_parse_probed)], SocketText] | None,
        BeforeValidator(_single_probe),
        WithJsonSchema(_PROBE_SCHEMA),
    ] = Field(
        None,
        description="what DNS nodes probe: a socket, or sockets by address; default: `port` of each",
    )
    admin: ListenText | None = Field(None, description="socket of its state and metrics; none when left out")

    @model_validator(mode="after")
    def _probes_its_own(self) -> Self:
        if len(set(self.addresses)) < len(self.addresses):
            raise WrongError("has the same address twice", "remove one of them")
        if any(address != "*" and address not in self.addresses for address in self.probe or ()):
            raise WrongError("`probe` names an address that is not among `addresses`", "make them agree")
        return self


class ServerEntry(Entry):
    """One origin server: {address, weight}, or the address alone."""

    address: SocketText = Field(description="host and port")
    weight: Annotated[int, Field(ge=1, le=10_000), WHOLE] = Field(
        1, description="its share, for weighted methods"
    )

    @model_validator(mode="before")
    @classmethod
    def _address_alone(cls, value: object) -> object:
        return value if isinstance(value, dict) else {"address": value}


class RegionEntry(Entry):
    """A site with edges and servers."""

    description: Text = Field("", description="a few words for people")
    coordinates: CoordinatesEntry = Field(description="`{latitude, longitude}` or `[latitude, longitude]`")
    capacity: Annotated[float, Field(gt=0), NUMBER] | None = Field(
        None, description="requests per second it can carry"
    )
    check: CheckReference | None = Field(
        None, description="how DNS nodes probe its edges; default: an `http` check of `edge.health_path`"
    )
    edges: Annotated[list[EdgeEntry], Field(min_length=1)] = Field(description="its reverse proxies")
    servers: dict[
        PoolReference, Annotated[list[ServerEntry], BeforeValidator(listed), Field(min_length=1)]
    ] = Field({}, description="its origin servers, by pool")


class TtlEntry(Entry):
    """Seconds that resolvers may keep an answer; a bound left out gives way to `wanted`."""

    wanted: TtlSeconds = Field(_TTL.wanted, description="the TTL when nothing is about to change")
    minimum: TtlSeconds = Field(_TTL.minimum, description="never less, whatever health says")
    maximum: TtlSeconds = Field(_TTL.maximum, description="never more")

    @model_validator(mode="before")
    @classmethod
    def _wanted_alone(cls, value: object) -> object:
        return value if isinstance(value, dict) else {"wanted": value}

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        ttl = self.time_to_live()
        if not ttl.minimum <= ttl.wanted <= ttl.maximum:
            raise WrongError(
                "minimum, wanted and maximum are not in this order", "minimum <= wanted <= maximum"
            )
        return self

    def time_to_live(self) -> TimeToLive:
        said = self.model_fields_set
        wanted = self.wanted
        if "wanted" not in said:
            wanted = min(max(wanted, self.minimum), self.maximum)
        minimum = self.minimum if "minimum" in said else min(self.minimum, wanted)
        return TimeToLive(wanted, minimum, self.maximum if "maximum" in said else max(self.maximum, wanted))


class ServiceEntry(Entry):
    """A balanced DNS name."""

    # Policies bring options of their own: gslb.config.policies reads this key.
    policy: Any = Field(description="a name, `{name: {options}}`, or a list of these, asked in turn")
    regions: Annotated[list[RegionReference], BeforeValidator(listed), Field(min_length=1)] | None = Field(
        None, description="where it is served; default: all regions"
    )
    ttl: TtlEntry = Field(TtlEntry(), description="a duration, or `{wanted, minimum, maximum}`")
    all_down: AllDown = Field(AllDown.ANSWER_ALL, description="what to answer when no region is eligible")

    @model_validator(mode="after")
    def _regions_once(self) -> Self:
        if self.regions and len(set(self.regions)) < len(self.regions):
            raise WrongError("lists the same region twice", "remove one of them")
        return self


class PoolEntry(Entry):
    """A group of origin servers behind one balancing method."""

    method: BalancingMethod = Field(BalancingMethod.ROUND_ROBIN, description="how requests are divided")
    check: CheckReference | None = Field(
        None, description="how edges probe its servers; default: a `tcp` check"
    )


class RouteEntry(Entry):
    """Which requests go to which pool."""

    host: HostName | None = Field(None, description="the Host of requests; default: any")
    path: PathPrefix = Field("/", description="path prefix, on whole segments")
    methods: Annotated[list[Method], BeforeValidator(listed)] = Field(
        [], description="HTTP methods; default: all"
    )
    pool: PoolReference = Field(description="where they go")


def _duration_or_none(value: object) -> float:
    no_time = not isinstance(value, bool) and str(value).strip().lower() in ("0", "0.0", "0s", "0ms")
    return 0.0 if no_time else parse_duration(value)


_Pause = Annotated[float, PlainValidator(_duration_or_none, json_schema_input_type=Duration | Literal[0])]


class EdgeSection(Entry):
    """Bounds and timeouts of every edge."""

    health_path: PathPrefix = Field(_EDGE.health_path, description="answers the probes of DNS nodes")
    connect_timeout: Duration = Field(
        _EDGE.connect_timeout, description="until a server accepts a connection"
    )
    response_timeout: Duration = Field(
        _EDGE.response_timeout, description="until a server's answer begins or goes on"
    )
    header_timeout: Duration = Field(
        _EDGE.header_timeout, description="until a client's request head is complete"
    )
    idle_timeout: Duration = Field(
        _EDGE.idle_timeout, description="until an idle client connection is closed"
    )
    server_idle_timeout: Duration = Field(
        _EDGE.server_idle_timeout, description="until an idle connection to a server is closed"
    )
    server_idle_connections: Annotated[int, Field(ge=0, le=100_000), WHOLE] = Field(
        _EDGE.server_idle_connections, description="idle connections kept to each server"
    )
    max_header_bytes: Annotated[int, Field(ge=1024, le=1_048_576), WHOLE] = Field(
        _EDGE.max_header_bytes, description="largest request head, in bytes"
    )
    max_connections: Annotated[int, Field(ge=1, le=10_000_000), WHOLE] = Field(
        _EDGE.max_connections, description="client connections at a time"
    )
    report_interval: Duration = Field(_EDGE.report_interval, description="from one report to the next")
    lame_duck: _Pause = Field(
        _EDGE.lame_duck,
        description="how long a stopping edge goes on serving whoever comes; `0s` for not at all",
    )
    drain_timeout: Duration = Field(
        _EDGE.drain_timeout, description="how long a stopping edge waits for its requests"
    )


class FleetFile(Entry):
    """The whole of regions.yaml. Keys that begin with `x-` are ignored: a place for anchors."""

    redis: RedisSection = Field(
        RedisSection(), description="what the processes know of each other travels here"
    )
    geo: GeoSection = Field(GeoSection(), description="where clients are")
    dns: DnsSection = Field(DnsSection(), description="tier 1: the authoritative name servers")
    zones: dict[str, ZoneEntry] = Field({}, description="zones and their static data, by name")
    checks: dict[Name, Any] = Field({}, description="how health is judged, by name")
    regions: dict[Name, RegionEntry] = Field(description="where clients can be sent, by name")
    services: dict[str, ServiceEntry] = Field({}, description="balanced DNS names")
    pools: dict[Name, PoolEntry] = Field({}, description="tier 2: groups of origin servers, by name")
    routes: list[RouteEntry] = Field([], description="host and longest path prefix to pool")
    edge: EdgeSection = Field(EdgeSection(), description="bounds and timeouts of every edge")
