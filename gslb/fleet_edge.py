"""What regions.yaml declares of the edges' data path, as frozen objects: see gslb.fleet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gslb.geo.location import IPNetwork


@dataclass(frozen=True, slots=True, order=True)
class SocketAddress:
    """A host (address, or name where a name makes sense) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM form. chain: the certificate, then those between it and the root. key: its private key."""

    chain: str
    key: str


class ClientCertificate(StrEnum):
    """Whether clients must show a certificate that comes from `client_ca`."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Of all listeners with TLS. certificates: chosen by SNI; the first is shown to who names no other.

    minimum_version: "1.2" or "1.3". client_ca: a file of roots in PEM form. hsts: max-age in seconds of
    Strict-Transport-Security (RFC 6797) on responses that went through TLS, None for no such header.
    hsts_subdomains: whether it says includeSubDomains.
    """

    certificates: tuple[Certificate, ...] = ()
    minimum_version: str = "1.2"
    client_ca: str | None = None
    client_certificate: ClientCertificate = ClientCertificate.NONE
    hsts: int | None = None
    hsts_subdomains: bool = False


class ListenerKind(StrEnum):
    """What an edge does with what comes: it speaks HTTP, or passes connections or datagrams on."""

    HTTP = "http"
    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class StreamTimeouts:
    """Of connections that are passed on, in seconds. connect: until a server takes one. idle: without a
    byte in either direction."""

    connect: float = 2.0
    idle: float = 3600.0


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that an edge binds. redirect: answer with the same URL under https, and nothing else.

    proxy_protocol: every connection comes from a trusted proxy and begins with a PROXY header, v1 or v2;
    those that do not are closed.

    Where the kind is not HTTP: pool: where it all goes; None: only to where `server_names` say, pool by the
    name that TLS asks for, lower case; `*.` before a name stands for all below it. timeouts: of connections.
    idle: seconds without a datagram after which a client's next one may go elsewhere. sessions: clients of
    UDP at a time, in one process; beyond these the one that was silent longest is forgotten.
    """

    address: SocketAddress
    tls: bool = False
    redirect: bool = False
    proxy_protocol: bool = False
    kind: ListenerKind = ListenerKind.HTTP
    pool: str | None = None
    server_names: Mapping[str, str] = field(default_factory=dict)
    timeouts: StreamTimeouts = StreamTimeouts()
    idle: float = 30.0
    sessions: int = 10_000

    def __str__(self) -> str:
        return str(self.address)

    @property
    def label(self) -> str:
        """What tells it from the edge's other listeners: TCP and UDP have ports of their own."""
        return str(self.address) if self.kind is ListenerKind.HTTP else f"{self.kind} {self.address}"

    @property
    def datagrams(self) -> bool:
        return self.kind is ListenerKind.UDP

    @property
    def pools(self) -> tuple[str, ...]:
        """All that it leads to, each once; of HTTP, routes tell."""
        named = (*self.server_names.values(), *((self.pool,) if self.pool is not None else ()))
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True, slots=True)
class ServerTls:
    """TLS to the servers of a pool. ca: a file of roots in PEM form, None for the system's.

    server_name: named in SNI and expected in the certificate; None: the host of the server's address.
    """

    verify: bool = True
    ca: str | None = None
    server_name: str | None = None
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Requests that wait for a server with room: how many at most of one pool, and for how many seconds."""

    size: int = 100
    timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class Connections:
    """To each server of a pool. most: in use at a time, None for as many as come; then requests queue.

    idle: kept for later at most. idle_timeout, max_age: seconds until one that is not in use is closed.
    """

    most: int | None = None
    idle: int = 64
    idle_timeout: float = 30.0
    max_age: float = 3600.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. connect: until a server takes a connection. first_byte: until its response begins, once it
    has the request. idle: without a byte of the response, or of the request taken by the server. total:
    from the request's head to the response's end, retries included, None for no such bound."""

    connect: float = 2.0
    first_byte: float = 30.0
    idle: float = 30.0
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Retries:
    """When a request goes to another server. tries: servers at most, the first counted in.

    on: statuses of servers' responses that count as failures for methods that are idempotent. body: bytes of
    a request's body that are kept for another try; a longer one is sent once.
    """

    tries: int = 3
    on: frozenset[int] = frozenset()
    body: int = 65536


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """Retries under way at most: this share of the requests in flight, and always `least`."""

    share: float = 0.2
    least: int = 3


class AccessLogFormat(StrEnum):
    """How a line of the access log is written."""

    OFF = "off"
    JSON = "json"
    COMBINED = "combined"


@dataclass(frozen=True, slots=True)
class AccessLog:
    """file: None for the standard output; reopened on SIGUSR1."""

    format: AccessLogFormat = AccessLogFormat.OFF
    file: str | None = None


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """Bounds and timeouts (seconds) of every edge; `health_path` answers the DNS nodes' probes.

    timeouts, retries, max_body: where a route says nothing else. max_body: bytes of a request's body, None
    for no bound. header_timeout: a request's head, from its first byte. body_timeout: a pause within a
    request's body. write_timeout: a client that takes nothing of its response. idle_timeout: between
    requests. tunnel_timeout: a connection that switched protocols and over which nothing comes.
    peer_tls: TLS to edges of other regions whose listeners speak it. trusted_proxies: whose word on the
    client's address and scheme counts (X-Forwarded-For, Forwarded, the PROXY protocol). workers: processes
    that serve, None for one a core. resolver: name servers that are asked for servers to be discovered;
    empty: those of the system.
    """

    health_path: str = "/.gslb/health"
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    retry_budget: RetryBudget = RetryBudget()
    max_body: int | None = None
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    write_timeout: float = 60.0
    idle_timeout: float = 60.0
    tunnel_timeout: float = 3600.0
    max_request_line_bytes: int = 16384
    max_header_bytes: int = 32768
    max_header_fields: int = 100
    max_connections: int = 10000
    max_connections_per_client: int | None = None
    max_requests_per_connection: int = 10000
    peer_tls: ServerTls = field(default_factory=ServerTls)
    trusted_proxies: tuple[IPNetwork, ...] = ()
    tls: TlsSettings = field(default_factory=TlsSettings)
    access_log: AccessLog = AccessLog()
    workers: int | None = 1
    resolver: tuple[SocketAddress, ...] = ()
    report_interval: float = 1.0
    lame_duck: float = 5.0
    drain_timeout: float = 10.0
