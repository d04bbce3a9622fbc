"""The sections of regions.yaml as pydantic models: the keys, their types, defaults and meanings."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from gslb.config.capacity import BoundsEntry, CapacitySection
from gslb.config.discovery import MemberEntry
from gslb.config.edge_settings import EdgeSection
from gslb.config.entry import Entry
from gslb.config.name_servers import DnsSection, ZoneEntry
from gslb.config.places import CoordinatesEntry, LocationEntry, OverrideEntry
from gslb.config.pools import PoolEntry
from gslb.config.redis_url import RedisUrl
from gslb.config.references import CheckReference, PoolReference, RegionReference
from gslb.config.routes import RouteEntry
from gslb.config.sites import HTTPS_PORT, CanonicalName, EdgeEntry
from gslb.config.values import NUMBER, WHOLE, Duration, Name, SocketText, Text, TtlSeconds, listed
from gslb.config.wrong_value import WrongError
from gslb.fleet import (
    AllDown,
    Answers,
    Bounds,
    GeoSettings,
    RedisSettings,
    SocketAddress,
    TimeToLive,
)

# The defaults have one home: the settings as everybody else knows them.
_REDIS = RedisSettings()
_GEO = GeoSettings()
_TTL = TimeToLive()
_ANSWERS = Answers()


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


class RegionEntry(
    BoundsEntry, json_schema_extra={"oneOf": [{"required": ["edges"]}, {"required": ["hostname"]}]}
):
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
        for key in ("edges", "servers", "capacity", "spill", "min_live"):
            if getattr(self, key):
                raise WrongError(
                    f"has {key} beside a hostname, which stands for what is somebody else's",
                    f"remove `{key}`, or `hostname`",
                )
        return self

    def bounds_beside(self, common: Bounds) -> Bounds:
        """Its own, beside those of all regions; nobody knows how busy somebody else's is."""
        return self.bounds(common if self.hostname is None else Bounds(ramp=common.ramp))

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
    capacity: CapacitySection = Field(
        CapacitySection(), description="what becomes of clients that are too many for a region"
    )
    services: dict[str, ServiceEntry] = Field({}, description="balanced DNS names")
    pools: dict[Name, PoolEntry] = Field({}, description="tier 2: groups of origin servers, by name")
    routes: list[RouteEntry] = Field([], description="host and longest path prefix to pool")
    edge: EdgeSection = Field(EdgeSection(), description="bounds and timeouts of every edge")
