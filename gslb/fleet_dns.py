"""What is declared of DNS nodes and zones, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gslb.fleet_edge import SocketAddress
from gslb.geo.location import IPNetwork
from gslb.secret import Secret


@dataclass(frozen=True, slots=True)
class TransferKey:
    """A TSIG key (RFC 8945). name: a domain name, lower case, no final dot. secret: base64."""

    name: str
    algorithm: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class TransferRule:
    """Who may transfer a zone: whoever asks from `network` and signs with `key`, as far as they are said."""

    network: IPNetwork | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class ZoneSource:
    """A zone's static data in zone-file syntax (RFC 1035 5), and the place its first line came from.

    included: the text of every file that `$INCLUDE` names, by the path as it is opened; `include_root`
    is the directory that holds them all, against which their names are resolved.
    transfers: who may transfer the zone; any one of them suffices.
    """

    name: str
    text: str
    file: str
    first_line: int = 1
    transfers: tuple[TransferRule, ...] = ()
    included: Mapping[str, str] = field(default_factory=dict)
    include_root: str = "."


@dataclass(frozen=True, slots=True)
class Node:
    """One DNS node: where it listens (UDP and TCP), where its admin side does, and what it calls itself."""

    name: str
    listen: tuple[SocketAddress, ...]
    admin: SocketAddress | None
    identity: str = ""


@dataclass(frozen=True, slots=True)
class ClientSubnetSettings:
    """Whose client subnet counts (RFC 7871): that of `trusted` resolvers, or everybody's when it is empty."""

    enabled: bool = True
    trusted: tuple[IPNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class CookieSettings:
    """secrets: 32 hexadecimal digits each; the first signs, all are accepted (RFC 9018 5)."""

    enabled: bool = True
    secrets: tuple[Secret, ...] = ()


@dataclass(frozen=True, slots=True)
class RateLimitSettings:
    """Responses a second over UDP to a client network without a cookie; `ceiling` to all such together."""

    enabled: bool = True
    responses_per_second: int = 1000
    errors_per_second: int = 200
    ceiling: int = 100_000
    slip: int = 2
    ipv4_prefix_length: int = 24
    ipv6_prefix_length: int = 56
    exempt: tuple[IPNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class TcpSettings:
    """idle_timeout: seconds. connections: open at once on a socket; connections_per_client: per address."""

    idle_timeout: float = 10.0
    connections: int = 1000
    connections_per_client: int = 100


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """What all DNS nodes share. udp_payload: bytes (RFC 9715). initial_round: seconds.

    version: the text of version.bind, None to refuse. watch: seconds between looks at the files, None never.
    udp_threads: of the compiled loop on each socket, None for one per core; pin_threads: each to its core.
    state: the folder for the copy of the world on disk; `auto`: the one that the system provides; None: none.
    """

    nodes: Mapping[str, Node]
    udp_payload: int = 1232
    client_subnet: ClientSubnetSettings = field(default_factory=ClientSubnetSettings)
    initial_round: float = 3.0
    tells_identity: bool = True
    version: str | None = None
    cookies: CookieSettings = field(default_factory=CookieSettings)
    rate_limit: RateLimitSettings = field(default_factory=RateLimitSettings)
    tcp: TcpSettings = field(default_factory=TcpSettings)
    keys: Mapping[str, TransferKey] = field(default_factory=dict)
    watch: float | None = 1.0
    udp_threads: int | None = None
    pin_threads: bool = False
    state: str | None = None
