"""The sections of regions.yaml as pydantic models: the keys, their types, defaults and meanings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    model_validator,
)

from gslb.config.amounts import Bound
from gslb.config.bearing import (
    ConcurrencyEntry,
    EjectionEntry,
    HedgeEntry,
    RouteRateLimitEntry,
    Share,
    SlowStartEntry,
    SpillOverWord,
    StickyEntry,
)
from gslb.config.discovery import MemberEntry
from gslb.config.edge_settings import EdgeSection
from gslb.config.entry import Entry
from gslb.config.name_servers import DnsSection, ZoneEntry
from gslb.config.places import CoordinatesEntry, LocationEntry, OverrideEntry
from gslb.config.proxying import ConnectionsEntry, QueueEntry, RetriesEntry, ServerTlsSwitch, TimeoutsEntry
from gslb.config.redis_url import RedisUrl
from gslb.config.sites import HTTPS_PORT, CanonicalName, EdgeEntry
from gslb.config.suggest import remedy
from gslb.config.values import (
    NUMBER,
    WHOLE,
    Duration,
    HostName,
    Method,
    Name,
    PathPrefix,
    SocketText,
    Text,
    TtlSeconds,
    listed,
)
from gslb.config.wrong_value import WrongError
from gslb.fleet import (
    AllDown,
    Answers,
    Balancing,
    BalancingKey,
    GeoSettings,
    HealthCheck,
    Mirror,
    Priority,
    RedisSettings,
    SocketAddress,
    SpillOver,
    TimeToLive,
)

# The defaults have one home: the settings as everybody else knows them.
_REDIS = RedisSettings()
_GEO = GeoSettings()
_TTL = TimeToLive()
_ANSWERS = Answers()
_METHOD = Balancing()
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
    cache: Text | None = Field(
        "auto",
        description="folder where network maps are kept from one start to the next, relative to this file; "
        "`auto`: the one that the system provides; `null`: they are not kept",
    )


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
    fast_interval: Duration | None = Field(
        _CHECK["fast_interval"],
        description="from one probe to the next while the verdict is in doubt; default: `interval`",
    )
    jitter: Annotated[float, Field(ge=0, le=0.5), NUMBER] = Field(
        _CHECK["jitter"], description="the part of itself by which an interval varies either way, 0 to 0.5"
    )

    @model_validator(mode="after")
    def _faster(self) -> Self:
        if self.fast_interval is not None and self.fast_interval > self.interval:
            raise WrongError("fast_interval is longer than interval", "make it shorter, or leave it out")
        return self


class RegionEntry(Entry, json_schema_extra={"oneOf": [{"required": ["edges"]}, {"required": ["hostname"]}]}):
    """A site with edges and servers, or a hostname that is somebody else's."""

    description: Text = Field("", description="a few words for people")
    coordinates: CoordinatesEntry = Field(description="`{latitude, longitude}` or `[latitude, longitude]`")
    capacity: Annotated[float, Field(gt=0), NUMBER] | None = Field(
        None, description="requests per second it can carry"
    )
    check: CheckReference | None = Field(
        None,
        description="how DNS nodes probe it; default: an `http` check of `edge.health_path`, or `tcp` for a "
        "hostname",
    )
    edges: Annotated[list[EdgeEntry], Field(min_length=1)] | None = Field(
        None, description="its reverse proxies; these or `hostname`"
    )
    hostname: CanonicalName | None = Field(
        None, description="somebody else's name (a CDN's), answered as a CNAME in place of addresses"
    )
    probe: SocketText | None = Field(
        None, description="what DNS nodes probe of the hostname; default: its port 443; `null` for nothing"
    )
    servers: dict[
        PoolReference, Annotated[list[MemberEntry], BeforeValidator(listed), Field(min_length=1)]
    ] = Field({}, description="its origin servers, by pool")

    @model_validator(mode="after")
    def _edges_or_hostname(self) -> Self:
        if self.hostname is None:
            if self.edges is None:
                hint = "list its reverse proxies under `edges`, or somebody else's name as `hostname`"
                raise WrongError("has neither edges nor a hostname", hint)
            if "probe" in self.model_fields_set:
                raise WrongError("`probe` is for a hostname only", "move it to each of the `edges`")
            return self
        for key, held in (("edges", self.edges), ("servers", self.servers), ("capacity", self.capacity)):
            if held:
                raise WrongError(
                    f"has {key} beside a hostname, which stands for what is somebody else's",
                    f"remove `{key}`, or `hostname`",
                )
        return self

    def probed(self) -> SocketAddress | None:
        """What is probed of the hostname; None for nothing."""
        if self.hostname is None or "probe" in self.model_fields_set:
            return self.probe
        return SocketAddress(self.hostname, HTTPS_PORT)


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


class AnswersEntry(Entry):
    """How much one answer carries."""

    regions: Annotated[int, Field(ge=1, le=100), WHOLE] = Field(
        _ANSWERS.regions, description="the addresses of so many eligible regions, the best first"
    )
    addresses: Annotated[int, Field(ge=1, le=100), WHOLE] | None = Field(
        _ANSWERS.addresses, description="the most of one region and IP version; default: all"
    )
    order: Literal["ranked", "rotated"] = Field(
        "ranked", description="`rotated`: each client network begins at another place in the list"
    )

    @model_validator(mode="before")
    @classmethod
    def _regions_alone(cls, value: object) -> object:
        return value if isinstance(value, dict) else {"regions": value}

    def answers(self) -> Answers:
        return Answers(self.regions, self.addresses, self.order == "rotated")


class ServiceEntry(Entry):
    """A balanced DNS name."""

    # Policies bring options of their own: gslb.config.policies reads this key.
    policy: Any = Field(description="a name, `{name: {options}}`, or a list of these, asked in turn")
    regions: Annotated[list[RegionReference], BeforeValidator(listed), Field(min_length=1)] | None = Field(
        None, description="where it is served; default: all regions"
    )
    ttl: TtlEntry = Field(TtlEntry(), description="a duration, or `{wanted, minimum, maximum}`")
    all_down: AllDown = Field(AllDown.ANSWER_ALL, description="what to answer when no region is eligible")
    answers: AnswersEntry = Field(
        AnswersEntry(), description="how many regions an answer holds, or `{regions, addresses, order}`"
    )

    @model_validator(mode="after")
    def _regions_once(self) -> Self:
        if self.regions and len(set(self.regions)) < len(self.regions):
            raise WrongError("lists the same region twice", "remove one of them")
        return self


class PoolEntry(Entry):
    """A group of origin servers behind one balancing method."""

    # A method's name decides on its options: gslb.config.balancing reads this key and the next one.
    method: Any = Field(
        str(_METHOD.name), description="how requests are divided: a name, or `{name, ...}` with its options"
    )
    key: Any = Field(
        str(BalancingKey()),
        description="what methods that hash go by: `address`, `path`, or `{header}`, `{cookie}` or `{query}` "
        "with a name; where a request lacks it: the address",
    )
    check: CheckReference | None = Field(
        None, description="how edges probe its servers; default: a `tcp` check"
    )
    connections: ConnectionsEntry = Field(
        ConnectionsEntry(), description="of one edge process to each of its servers"
    )
    queue: QueueEntry = Field(QueueEntry(), description="requests that wait until a server has room")
    tls: ServerTlsSwitch = Field(
        None, description="how its servers are spoken to: `true`, `false`, or what TLS shall be like"
    )
    proxy_protocol: Annotated[int, Field(ge=1, le=2), WHOLE] | None = Field(
        None,
        description="version of the PROXY header that begins every connection to them; none when left out",
    )
    ejection: EjectionEntry = Field(
        EjectionEntry(), description="when a server gets no requests for a while, whatever checks say"
    )
    panic: Share = Field(
        0.0,
        description="below this share of usable servers, 0 to 1, all of them are used, whatever checks say; "
        "0: never",
    )
    slow_start: SlowStartEntry | None = Field(
        None,
        description="how long a server that comes back takes to get all of its share: a time, or "
        "`{time, least}`; default: none",
    )
    sticky: StickyEntry | None = Field(
        None, description="a cookie that keeps a client at its server; none when left out"
    )
    concurrency: ConcurrencyEntry = Field(
        ConcurrencyEntry(), description="requests at all its servers at a time, of one edge process"
    )
    spill_over: SpillOverWord = Field(
        SpillOver.OFF,
        description="when requests go on to another region's edge: `off`, `on_failure` (no server here is "
        "usable) or `on_saturation` (also while none has room)",
    )


class MirrorEntry(Entry):
    """A pool that gets a copy of requests; what it answers is discarded."""

    pool: PoolReference = Field(description="where the copies go")
    share: Annotated[float, Field(gt=0, le=1), NUMBER] = Field(
        1.0, description="of the requests that are copied"
    )

    @model_validator(mode="before")
    @classmethod
    def _pool_alone(cls, value: object) -> object:
        return value if isinstance(value, dict) else {"pool": value}

    def settings(self) -> Mirror:
        """As edges know it."""
        return Mirror(self.pool, self.share)


class RouteEntry(Entry):
    """Which requests go to which pool."""

    host: HostName | None = Field(None, description="the Host of requests; default: any")
    path: PathPrefix = Field("/", description="path prefix, on whole segments")
    methods: Annotated[list[Method], BeforeValidator(listed)] = Field(
        [], description="HTTP methods; default: all"
    )
    pool: PoolReference = Field(description="where they go")
    timeouts: TimeoutsEntry | None = Field(
        None, description="for these requests; what is left out is as under `edge`"
    )
    retries: RetriesEntry | None = Field(
        None, description="of these requests; what is left out is as under `edge`"
    )
    max_body: Bound | None = Field(
        None, description="largest body of these requests; default: as under `edge`"
    )
    rate_limit: RouteRateLimitEntry | None = Field(
        None, description="how many requests one client may send; default: as many as it likes"
    )
    priority: Priority = Field(
        Priority.NORMAL,
        description="`low` ones are turned away first when there is too little room, `high` last",
    )
    hedge: HedgeEntry | None = Field(
        None, description="a second try beside one that is slow, `{after, share}`; none when left out"
    )
    mirror: MirrorEntry | None = Field(
        None,
        description="a pool that gets a copy of these requests, or `{pool, share}`; its answers are "
        "discarded",
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
