"""Servers that are found rather than listed, as regions.yaml writes them beside those that are."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Field, PlainValidator, Tag, WithJsonSchema

from gslb.config.entry import Entry
from gslb.config.sites import ServerEntry
from gslb.config.values import DOMAIN_PATTERN, WHOLE, Port, Text, parse_domain_name
from gslb.fleet import AddressRecords, Discovery, Server, ServersFile, ServiceRecords

DomainName = Annotated[
    str,
    PlainValidator(parse_domain_name),
    WithJsonSchema({"type": "string", "pattern": DOMAIN_PATTERN, "examples": ["web.internal"]}),
]


class AddressRecordsEntry(Entry):
    """Servers at all addresses of a name."""

    dns: DomainName = Field(description="name whose A and AAAA records are the servers' addresses")
    port: Port = Field(description="of all of them")
    weight: Annotated[int, Field(ge=1, le=10_000), WHOLE] = Field(1, description="of each of them")
    backup: bool = Field(
        False, description="whether they serve only while no other server of the pool here is usable"
    )
    max_connections: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = Field(
        None, description="of one edge process to each of them; default: the pool's `connections.most`"
    )

    def discovery(self) -> Discovery:
        """As edges know it."""
        return AddressRecords(self.dns, self.port, self.weight, self.backup, self.max_connections)


class ServiceRecordsEntry(Entry):
    """Servers that a name's SRV records tell of."""

    srv: DomainName = Field(
        description="name whose SRV records are the servers, with their weights; all but those of the lowest "
        "priority are backups"
    )
    max_connections: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = Field(
        None, description="of one edge process to each of them; default: the pool's `connections.most`"
    )

    def discovery(self) -> Discovery:
        """As edges know it."""
        return ServiceRecords(self.srv, self.max_connections)


class ServersFileEntry(Entry):
    """Servers that another file lists."""

    file: Text = Field(
        description="YAML file that lists servers as here, relative to this file; it may change at any time"
    )

    def discovery(self) -> Discovery:
        """As edges know it; its path as it is written."""
        return ServersFile(self.file)


def _kind(value: object) -> str:
    for key in ("dns", "srv", "file"):
        if isinstance(value, dict) and key in value and "address" not in value:
            return f"by {key}"
    return "listed"


MemberEntry = Annotated[
    Annotated[ServerEntry, Tag("listed")]
    | Annotated[AddressRecordsEntry, Tag("by dns")]
    | Annotated[ServiceRecordsEntry, Tag("by srv")]
    | Annotated[ServersFileEntry, Tag("by file")],
    Discriminator(_kind),
]
"""An entry of a region's `servers`."""


def listed_servers(region: str, pool: str, members: list[MemberEntry]) -> tuple[Server, ...]:
    """Those of a pool that are listed by address."""
    return tuple(each.server(region, pool) for each in members if isinstance(each, ServerEntry))


def discoveries(members: list[MemberEntry]) -> tuple[Discovery, ...]:
    """Where the others are found, each place once."""
    return tuple(dict.fromkeys(each.discovery() for each in members if not isinstance(each, ServerEntry)))
