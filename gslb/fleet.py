"""The declared truth: everything regions.yaml says, as frozen objects that every part shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

# With `as`, since whoever reads the fleet finds all of it here.
from gslb.balancing import Balancing as Balancing
from gslb.balancing import BalancingKey as BalancingKey
from gslb.balancing import BalancingMethod as BalancingMethod
from gslb.fleet_capacity import Bounds as Bounds
from gslb.fleet_capacity import Spill as Spill
from gslb.fleet_discovery import AddressRecords as AddressRecords
from gslb.fleet_discovery import Discovery as Discovery
from gslb.fleet_discovery import ServersFile as ServersFile
from gslb.fleet_discovery import ServiceRecords as ServiceRecords
from gslb.fleet_dns import ClientSubnetSettings as ClientSubnetSettings
from gslb.fleet_dns import CookieSettings as CookieSettings
from gslb.fleet_dns import DnsSettings as DnsSettings
from gslb.fleet_dns import Node as Node
from gslb.fleet_dns import RateLimitSettings as RateLimitSettings
from gslb.fleet_dns import TcpSettings as TcpSettings
from gslb.fleet_dns import TransferKey as TransferKey
from gslb.fleet_dns import TransferRule as TransferRule
from gslb.fleet_dns import ZoneSource as ZoneSource
from gslb.fleet_edge import AccessLog as AccessLog
from gslb.fleet_edge import AccessLogFormat as AccessLogFormat
from gslb.fleet_edge import Certificate as Certificate
from gslb.fleet_edge import ClientCertificate as ClientCertificate
from gslb.fleet_edge import Connections as Connections
from gslb.fleet_edge import EdgeSettings as EdgeSettings
from gslb.fleet_edge import Listener as Listener
from gslb.fleet_edge import ListenerKind as ListenerKind
from gslb.fleet_edge import QueueSettings as QueueSettings
from gslb.fleet_edge import Retries as Retries
from gslb.fleet_edge import RetryBudget as RetryBudget
from gslb.fleet_edge import ServerTls as ServerTls
from gslb.fleet_edge import SocketAddress as SocketAddress
from gslb.fleet_edge import StreamTimeouts as StreamTimeouts
from gslb.fleet_edge import Timeouts as Timeouts
from gslb.fleet_edge import TlsSettings as TlsSettings
from gslb.fleet_health import Damping as Damping
from gslb.fleet_health import HealthCheck as HealthCheck
from gslb.fleet_health import Quorum as Quorum
from gslb.fleet_pool import ConcurrencyLimit as ConcurrencyLimit
from gslb.fleet_pool import Ejection as Ejection
from gslb.fleet_pool import Hedge as Hedge
from gslb.fleet_pool import Mirror as Mirror
from gslb.fleet_pool import Priority as Priority
from gslb.fleet_pool import RateLimit as RateLimit
from gslb.fleet_pool import SameSite as SameSite
from gslb.fleet_pool import ServerMode as ServerMode
from gslb.fleet_pool import SlowStart as SlowStart
from gslb.fleet_pool import SpillOver as SpillOver
from gslb.fleet_pool import Sticky as Sticky
from gslb.geo.location import Coordinates, IPAddress, IPNetwork, Location
from gslb.secret import Secret as Secret

if TYPE_CHECKING:
    from gslb.policy import Policy


@dataclass(frozen=True, slots=True)
class Edge:
    """One reverse proxy of a region.

    addresses: public; what DNS answers carry. port: where clients reach it on each of them.
    listen: the sockets it binds. probe: what DNS nodes probe, one target per entry, by address.
    peer: where edges of other regions send requests that spill over; None: `port` of each address.
    """

    name: str
    region: str
    addresses: tuple[IPAddress, ...]
    port: int
    listen: tuple[Listener, ...]
    probe: Mapping[IPAddress, SocketAddress]
    admin: SocketAddress | None = None
    peer: SocketAddress | None = None

    @property
    def peers(self) -> tuple[SocketAddress, ...]:
        """Where edges of other regions find it."""
        if self.peer is not None:
            return (self.peer,)
        return tuple(SocketAddress(str(address), self.port) for address in self.addresses)

    def target(self, address: IPAddress) -> str:
        """The name under which observers report this edge's `address`."""
        return f"{self.region}/{address}"


@dataclass(frozen=True, slots=True)
class Server:
    """One origin server of a pool in a region.

    backup: it serves only while no other server of the pool is usable. max_connections: in use at a time by
    one process, None for as many as the pool says. mode: an operator's word.
    """

    region: str
    pool: str
    address: SocketAddress
    weight: int = 1
    backup: bool = False
    max_connections: int | None = None
    mode: ServerMode = ServerMode.READY

    @property
    def target(self) -> str:
        """The name under which edges report this server."""
        return f"{self.region}/{self.pool}/{self.address}"


@dataclass(frozen=True, slots=True)
class Region:
    """A site with edges and servers. capacity: requests per second it can carry, None when not said.

    hostname: set for a region that is somebody else's (a CDN): it has no edges, and is answered as a CNAME
    to this name (lower case, no final dot). probe: what DNS nodes probe of it, None for nothing.
    servers, discovery: by pool, those that are listed, and where its edges find others. bounds: what becomes
    of clients that are too many for it.
    """

    name: str
    coordinates: Coordinates
    edges: tuple[Edge, ...]
    check: HealthCheck
    servers: Mapping[str, tuple[Server, ...]]
    description: str = ""
    capacity: float | None = None
    hostname: str | None = None
    probe: SocketAddress | None = None
    discovery: Mapping[str, tuple[Discovery, ...]] = field(default_factory=dict)
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def target(self) -> str:
        """The name under which observers report the hostname."""
        return f"{self.name}/{self.hostname}"


@dataclass(frozen=True, slots=True)
class Pool:
    """A group of origin servers behind one method; which servers, each region says for itself.

    key: what requests that methods with hashes send to one server have in common.
    tls: how they are spoken to, None for plain TCP. proxy_protocol: the version of the PROXY header that
    begins every connection to them, None for none; such connections carry one client's requests only.
    panic: below this share of usable servers, 0 to 1, all are used that are not in maintenance.
    """

    name: str
    method: Balancing
    check: HealthCheck
    connections: Connections = field(default_factory=Connections)
    queue: QueueSettings = field(default_factory=QueueSettings)
    tls: ServerTls | None = None
    proxy_protocol: int | None = None
    key: BalancingKey = field(default_factory=BalancingKey)
    ejection: Ejection = field(default_factory=Ejection)
    panic: float = 0.0
    slow_start: SlowStart = field(default_factory=SlowStart)
    sticky: Sticky | None = None
    concurrency: ConcurrencyLimit = field(default_factory=ConcurrencyLimit)
    spill_over: SpillOver = SpillOver.OFF


@dataclass(frozen=True, slots=True)
class Route:
    """Host and path prefix (and methods; empty means all) to pool. `host` None matches every host.

    timeouts, retries, max_body: its own; None: those of the edge. rate_limit, hedge, mirror: None for none.
    """

    host: str | None
    path: str
    pool: str
    methods: frozenset[str] = frozenset()
    timeouts: Timeouts | None = None
    retries: Retries | None = None
    max_body: int | None = None
    rate_limit: RateLimit | None = None
    priority: Priority = Priority.NORMAL
    hedge: Hedge | None = None
    mirror: Mirror | None = None


@dataclass(frozen=True, slots=True)
class TimeToLive:
    """Seconds a resolver may keep an answer: the wish, and the bounds whatever health says."""

    wanted: int = 30
    minimum: int = 5
    maximum: int = 3600


class AllDown(StrEnum):
    """What a service answers when no region of it is eligible."""

    ANSWER_ALL = "answer_all"
    LAST_KNOWN = "last_known"
    SERVFAIL = "servfail"


@dataclass(frozen=True, slots=True)
class Answers:
    """How much one answer carries: addresses of the best `regions` eligible regions, in rank order.

    addresses: the most of one region and family, None for all. rotate: whether each client network begins
    at another place in the list, always the same one.
    """

    regions: int = 1
    addresses: int | None = None
    rotate: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """A balanced DNS name. `name` and `zone` are lower case without the final dot.

    pools: those that its requests go to, wherever it is served; empty: the routes do not say.
    """

    name: str
    zone: str
    regions: tuple[str, ...]
    policies: tuple[Policy, ...]
    ttl: TimeToLive = field(default_factory=TimeToLive)
    all_down: AllDown = AllDown.ANSWER_ALL
    answers: Answers = field(default_factory=Answers)
    pools: frozenset[str] = frozenset()

    def hostname_regions(self, regions: Mapping[str, Region]) -> tuple[str, ...]:
        """Those of its regions that are answered as a CNAME, beside which no other data may stand."""
        return tuple(name for name in self.regions if name in regions and regions[name].hostname is not None)


@dataclass(frozen=True, slots=True)
class LocationOverride:
    """The operator's own word on where a network is; beats every database."""

    network: IPNetwork
    location: Location


@dataclass(frozen=True, slots=True)
class GeoSettings:
    """databases: paths, consulted in order, what one leaves unknown the next may fill; empty = bundled.

    default: for private and unknown addresses. poll: seconds between looks for replaced files.
    cache: the folder in which network maps are kept; `auto`: the one that the system provides; None: none.
    """

    databases: tuple[str, ...] = ()
    default: Location = field(default_factory=lambda: Location(source="default"))
    overrides: tuple[LocationOverride, ...] = ()
    poll: float = 5.0
    cache: str | None = None


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """url: redis://, rediss://, unix://, or None for a node that stands alone. Times in seconds.

    poll: how often everything is read again, however many nudges came. lease: life of an observation.
    """

    url: Secret | None = None
    poll: float = 1.0
    lease: float = 10.0
    timeout: float = 1.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """All of regions.yaml. Mappings keep the file's order; nothing changes them after loading."""

    file: str
    regions: Mapping[str, Region]
    pools: Mapping[str, Pool]
    routes: tuple[Route, ...]
    services: Mapping[str, Service]
    zones: Mapping[str, ZoneSource]
    redis: RedisSettings
    geo: GeoSettings
    dns: DnsSettings
    edge: EdgeSettings

    def networks(self) -> tuple[IPNetwork, ...]:
        """Every network the operator names: look-ups must tell their insides from their outsides."""
        named = [override.network for override in self.geo.overrides]
        for service in self.services.values():
            for policy in service.policies:
                named.extend(policy.networks())
        return tuple(dict.fromkeys(named))
