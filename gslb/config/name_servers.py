"""The sections `dns` and `zones`: their keys, defaults and meanings, and the settings made of them."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from gslb.config.entry import Entry
from gslb.config.secret_values import CookieSecret, KeySecret, key_in_full, keys_by_name
from gslb.config.values import (
    DOMAIN_PATTERN,
    WHOLE,
    Duration,
    ListenText,
    Name,
    Network,
    Text,
    listed,
    parse_domain_name,
    text_of,
)
from gslb.config.wrong_value import WrongError
from gslb.fleet import (
    ClientSubnetSettings,
    CookieSettings,
    DnsSettings,
    Node,
    RateLimitSettings,
    Secret,
    SocketAddress,
    TcpSettings,
    TransferKey,
    TransferRule,
)

# The defaults have one home: the settings as everybody else knows them.
_DNS = DnsSettings({})
_LIMIT = RateLimitSettings()
_TCP = TcpSettings()
_BOOLEAN = TypeAdapter(bool)
_LONGEST_IDENTITY = 100
_LONGEST_TXT = 255
_MOST_SECRETS = 4


def _switch(value: object) -> object:
    """A plain yes or no, for a mapping with only `enabled` in it; nothing at all leaves all as it is."""
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"enabled": value}


def _cookie_switch(value: object) -> object:
    switch = _switch(value)
    if switch is not value and switch:
        try:
            _BOOLEAN.validate_python(value)
        except ValidationError:
            # Perhaps a secret: what is wrong is not shown.
            hint = "secrets have a key of their own: {secrets: [...]}"
            raise WrongError("is neither true nor false", hint) from None
    return switch


def _few(secrets: list[Secret]) -> list[Secret]:
    if len(secrets) > _MOST_SECRETS:
        hint = f"keep {_MOST_SECRETS} at most: each one costs a hash for every forged cookie"
        raise WrongError("has too many secrets", hint)
    return secrets


def _short_text(limit: int) -> BeforeValidator:
    def check(value: object) -> object:
        if value is None:
            return None
        text = text_of(value)
        if not text.isascii() or not text.isprintable() or not 0 < len(text) <= limit:
            raise WrongError(
                "{value} cannot be told in a packet", f"write 1 to {limit} printable ASCII characters"
            )
        return text

    return BeforeValidator(check)


DomainName = Annotated[
    str,
    PlainValidator(parse_domain_name),
    WithJsonSchema({"type": "string", "pattern": DOMAIN_PATTERN}),
]
_Networks = Annotated[list[Network], BeforeValidator(listed)]


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
    identity: Annotated[str | None, _short_text(_LONGEST_IDENTITY)] = Field(
        None, description="what `hostname.bind`, `id.server` and NSID tell; default: the node's name"
    )

    @model_validator(mode="before")
    @classmethod
    def _all_defaults(cls, value: object) -> object:
        return {} if value is None else value

    def node(self, name: str) -> Node:
        return Node(name, tuple(self.listen), self.admin, self.identity or name)


class ClientSubnetEntry(Entry):
    """Whose EDNS client subnet counts."""

    enabled: bool = Field(True, description="whether EDNS client subnet is honoured (RFC 7871)")
    trusted: _Networks = Field(
        [], description="resolvers whose client subnet counts; none named: everybody's"
    )

    _short = model_validator(mode="before")(_switch)


class CookiesEntry(Entry):
    """DNS cookies (RFC 7873, RFC 9018)."""

    enabled: bool = Field(True, description="whether cookies are given out and honoured")
    secrets: Annotated[
        list[CookieSecret],
        BeforeValidator(listed),
        AfterValidator(_few),
    ] = Field(
        [],
        description="32 hexadecimal digits each, the same on every node: the first signs, all are accepted; "
        "none: a random one at every start",
    )

    _short = model_validator(mode="before")(_cookie_switch)


class RateLimitEntry(Entry):
    """How many answers over UDP one client network gets that has shown no cookie."""

    enabled: bool = Field(True, description="whether responses over UDP are limited")
    responses_per_second: Annotated[int, Field(ge=1, le=10_000_000), WHOLE] = Field(
        _LIMIT.responses_per_second, description="answers a second to one client network"
    )
    errors_per_second: Annotated[int, Field(ge=1, le=10_000_000), WHOLE] = Field(
        _LIMIT.errors_per_second, description="errors (NXDOMAIN, REFUSED, FORMERR …) a second to one"
    )
    ceiling: Annotated[int, Field(ge=1, le=100_000_000), WHOLE] = Field(
        _LIMIT.ceiling, description="answers and errors a second to all of them together, per node"
    )
    slip: Annotated[int, Field(ge=0, le=100), WHOLE] = Field(
        _LIMIT.slip,
        description="every how many-th answer over the limit is sent truncated, so that real clients come "
        "back over TCP; the others are dropped; 0: all are dropped",
    )
    ipv4_prefix_length: Annotated[int, Field(ge=8, le=32), WHOLE] = Field(
        _LIMIT.ipv4_prefix_length, description="how large an IPv4 client network is"
    )
    ipv6_prefix_length: Annotated[int, Field(ge=16, le=128), WHOLE] = Field(
        _LIMIT.ipv6_prefix_length, description="how large an IPv6 client network is"
    )
    exempt: _Networks = Field([], description="client networks that are never limited")

    _short = model_validator(mode="before")(_switch)


class TcpEntry(Entry):
    """Bounds of DNS over TCP (RFC 7766)."""

    idle_timeout: Duration = Field(
        _TCP.idle_timeout, description="how long a connection may wait for its next query"
    )
    connections: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] = Field(
        _TCP.connections, description="open at once on one socket"
    )
    connections_per_client: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] = Field(
        _TCP.connections_per_client, description="open at once from one address"
    )


class KeyEntry(Entry):
    """A TSIG key (RFC 8945)."""

    algorithm: Literal["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"] = Field(
        "hmac-sha256", description="as both sides must have it"
    )
    secret: KeySecret = Field(description="the key in base64; best from the environment: `${NAME}`")

    _full = model_validator(mode="before")(key_in_full)


class DnsSection(Entry):
    """What all DNS nodes share."""

    nodes: dict[Name, NodeEntry] = Field({}, description="the DNS nodes, by name")
    udp_payload: Annotated[int, Field(ge=512, le=4096), WHOLE] = Field(
        _DNS.udp_payload, description="largest UDP answer, in bytes (RFC 9715)"
    )
    udp_threads: Annotated[int | None, Field(ge=1, le=64), WHOLE] = Field(
        None, description="threads that answer over UDP on each socket; default: one per CPU core"
    )
    pin_threads: bool = Field(
        _DNS.pin_threads, description="whether each of these threads keeps to a core of its own"
    )
    client_subnet: ClientSubnetEntry = Field(
        ClientSubnetEntry(), description="`true`, `false`, or `{enabled, trusted}`"
    )
    initial_round: Duration = Field(
        _DNS.initial_round, description="how long the first answer waits for a first round of probes"
    )
    identity: bool = Field(
        _DNS.tells_identity, description="whether nodes tell who they are: NSID, `hostname.bind`, `id.server`"
    )
    version: Annotated[str | None, _short_text(_LONGEST_TXT)] = Field(
        None, description="what `version.bind` and `version.server` tell; nothing when left out"
    )
    cookies: CookiesEntry = Field(CookiesEntry(), description="`true`, `false`, or `{enabled, secrets}`")
    rate_limit: RateLimitEntry = Field(
        RateLimitEntry(), description="`true`, `false`, or how many responses over UDP"
    )
    tcp: TcpEntry = Field(TcpEntry(), description="bounds of TCP connections")
    keys: Annotated[dict[DomainName, KeyEntry], BeforeValidator(keys_by_name)] = Field(
        {}, description="TSIG keys, by name (RFC 8945)"
    )
    watch: Duration | None = Field(
        _DNS.watch,
        description="how often to look whether this file or a zone's has changed, and to take it up; "
        "`null`: only on SIGHUP and `gslb reload`",
    )

    state: Text | None = Field(
        "auto",
        description="folder for a copy of what is known, for nodes that start while Redis is away, relative "
        "to this file; `auto`: the one that the system provides; `null`: no copy",
    )

    def settings(self) -> DnsSettings:
        """As everybody else knows them; the folder by the name that the section gives it."""
        limit = self.rate_limit.model_dump(exclude={"exempt"})
        return DnsSettings(
            MappingProxyType({name: node.node(name) for name, node in self.nodes.items()}),
            self.udp_payload,
            ClientSubnetSettings(self.client_subnet.enabled, tuple(self.client_subnet.trusted)),
            self.initial_round,
            tells_identity=self.identity,
            version=self.version,
            cookies=CookieSettings(self.cookies.enabled, tuple(self.cookies.secrets)),
            rate_limit=RateLimitSettings(**limit, exempt=tuple(self.rate_limit.exempt)),
            tcp=TcpSettings(**self.tcp.model_dump()),
            keys=MappingProxyType(
                {name: TransferKey(name, key.algorithm, key.secret) for name, key in self.keys.items()}
            ),
            watch=self.watch,
            udp_threads=self.udp_threads,
            pin_threads=self.pin_threads,
            state=self.state,
        )


def _network_alone(value: object) -> object:
    return value if isinstance(value, dict) else {"network": value}


class TransferEntry(Entry):
    """Who may transfer a zone: all that is said must hold."""

    network: Network | None = Field(None, description="the network it must ask from")
    key: DomainName | None = Field(None, description="the key under `dns: keys:` it must sign with")

    _short = model_validator(mode="before")(_network_alone)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.network is None and self.key is None:
            hint = "say `network`, `key` or both; for nobody, leave `transfers` out"
            raise WrongError("names nobody", hint)
        return self

    def rule(self) -> TransferRule:
        """As the name servers know it."""
        return TransferRule(self.network, self.key)


class ZoneEntry(Entry):
    """A zone's static data, here or in a file of its own."""

    records: Text | None = Field(
        None, description="zone-file text (RFC 1035), as a literal block: `records: |`"
    )
    file: Text | None = Field(
        None, description="a zone file, relative to this file's directory and inside it"
    )
    transfers: Annotated[list[TransferEntry], BeforeValidator(listed)] = Field(
        [], description="who may transfer the zone (AXFR, IXFR): networks, or `{network, key}`; none: nobody"
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
