"""What regions.yaml declares of servers that are found rather than listed, as frozen objects."""

from __future__ import annotations

from dataclasses import dataclass

from gslb.fleet_edge import SocketAddress


@dataclass(frozen=True, slots=True)
class AddressRecords:
    """A server at `port` of each address that a name has (A and AAAA records)."""

    name: str
    port: int
    weight: int = 1
    backup: bool = False
    max_connections: int | None = None

    def __str__(self) -> str:
        return f"dns {SocketAddress(self.name, self.port)}"


@dataclass(frozen=True, slots=True)
class ServiceRecords:
    """A server at each address of each target of a name's SRV records (RFC 2782).

    Those of the lowest priority are normal servers, all others backups. max_connections: of each.
    """

    name: str
    max_connections: int | None = None

    def __str__(self) -> str:
        return f"srv {self.name}"


@dataclass(frozen=True, slots=True)
class ServersFile:
    """The servers that a file lists, written as in regions.yaml. path: as it can be opened."""

    path: str

    def __str__(self) -> str:
        return f"file {self.path}"


Discovery = AddressRecords | ServiceRecords | ServersFile
