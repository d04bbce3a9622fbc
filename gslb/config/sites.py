"""What a region in regions.yaml consists of: edges and their servers, or the hostname of somebody else."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from gslb.config.entry import Entry
from gslb.config.listeners import ListenerEntry
from gslb.config.values import (
    DOMAIN_PATTERN,
    WHOLE,
    ListenText,
    Name,
    Port,
    PublicAddress,
    SocketText,
    listed,
    parse_address,
    parse_domain_name,
)
from gslb.config.wrong_value import WrongError
from gslb.fleet import Edge, Listener, Server, ServerMode, SocketAddress
from gslb.geo.location import IPAddress

HTTPS_PORT = 443
"""Where a hostname is probed unless the file says otherwise."""


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
    listen: Annotated[list[ListenerEntry], BeforeValidator(listed), Field(min_length=1)] | None = Field(
        None,
        description="sockets it binds, or `{address, kind, ...}`; default: `port` of every address, for HTTP "
        "without TLS",
    )
    probe: Annotated[
        dict[Annotated[IPAddress | str, PlainValidator(_parse_probed)], SocketText] | None,
        BeforeValidator(_single_probe),
        WithJsonSchema(_PROBE_SCHEMA),
    ] = Field(
        None,
        description="what DNS nodes probe: a socket, or sockets by address; default: `port` of each",
    )
    admin: ListenText | None = Field(
        None, description="socket of its state, metrics and reloads; none when left out"
    )

    peer: SocketText | None = Field(
        None,
        description="where edges of other regions send requests that spill over; default: `port` of each "
        "address",
    )

    @model_validator(mode="after")
    def _probes_its_own(self) -> Self:
        if len(set(self.addresses)) < len(self.addresses):
            raise WrongError("has the same address twice", "remove one of them")
        if any(address != "*" and address not in self.addresses for address in self.probe or ()):
            raise WrongError("`probe` names an address that is not among `addresses`", "make them agree")
        return self

    def edge(self, region: str, index: int) -> Edge:
        """As everybody else knows it. index: its place in the region's list, from 0."""
        sockets = tuple(SocketAddress(str(address), self.port) for address in self.addresses)
        probe = dict(zip(self.addresses, sockets, strict=True))
        for probed, socket in (self.probe or {}).items():
            for address in self.addresses:
                if probed in ("*", address):
                    probe[address] = socket
        return Edge(
            self.name or f"{region}-{index + 1}",
            region,
            tuple(self.addresses),
            self.port,
            tuple(each.listener() for each in self.listen)
            if self.listen is not None
            else tuple(map(Listener, sockets)),
            MappingProxyType(probe),
            self.admin,
            self.peer,
        )


class ServerEntry(Entry):
    """One origin server: {address, weight, ...}, or the address alone."""

    address: SocketText = Field(description="host and port")
    weight: Annotated[int, Field(ge=1, le=10_000), WHOLE] = Field(
        1, description="its share, for weighted methods"
    )
    backup: bool = Field(
        False, description="whether it serves only while no other server of the pool here is usable"
    )
    max_connections: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = Field(
        None, description="of one edge process, in use at a time; default: the pool's `connections.most`"
    )
    mode: ServerMode = Field(
        ServerMode.READY,
        description="`ready`, `drain` (nothing new comes, clients whose cookies name it may) or "
        "`maintenance` (nothing goes there)",
    )

    @model_validator(mode="before")
    @classmethod
    def _address_alone(cls, value: object) -> object:
        return value if isinstance(value, dict) else {"address": value}

    def server(self, region: str, pool: str) -> Server:
        """As edges know it."""
        return Server(region, pool, self.address, self.weight, self.backup, self.max_connections, self.mode)


def _parse_canonical_name(value: object) -> str:
    name = parse_domain_name(value)
    if name.rpartition(".")[2].isdigit():
        raise WrongError("{value} is not a host name", "addresses are listed under `edges`")
    return name


CanonicalName = Annotated[
    str,
    PlainValidator(_parse_canonical_name),
    WithJsonSchema({"type": "string", "pattern": DOMAIN_PATTERN, "examples": ["www.example.cdn.net"]}),
]
