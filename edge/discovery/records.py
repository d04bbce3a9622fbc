"""Finds servers by the records that a name has in DNS."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from edge.discovery.names import AGAIN, Addresses, Names, NotFoundError, ServiceRecord
from edge.discovery.sighting import Sighting
from gslb.fleet import AddressRecords, Server, ServiceRecords, SocketAddress
from gslb.server_change import HEAVIEST


@dataclass(slots=True)
class ByAddress:
    """A server at every address of a name."""

    names: Names
    where: AddressRecords
    region: str
    pool: str

    async def look(self) -> Sighting:
        where = self.where
        try:
            found = await self.names.addresses(where.name)
        except NotFoundError as error:
            return Sighting(None, AGAIN, f"{where.name} {error}")
        return Sighting(
            tuple(
                Server(
                    self.region,
                    self.pool,
                    SocketAddress(text, where.port),
                    where.weight,
                    where.backup,
                    where.max_connections,
                )
                for text in found.texts
            ),
            found.ttl,
        )


class ByService:
    """Servers at every address of the targets of a name's SRV records."""

    def __init__(self, names: Names, where: ServiceRecords, region: str, pool: str) -> None:
        self._names = names
        self._where = where
        self._region = region
        self._pool = pool
        self._last: dict[str, Addresses] = {}

    async def look(self) -> Sighting:
        """A target that cannot be resolved now has the addresses of the last time."""
        where = self._where
        try:
            records, ttl = await self._names.services(where.name)
        except NotFoundError as error:
            return Sighting(None, AGAIN, f"{where.name} {error}")
        targets = tuple(dict.fromkeys(record.target for record in records))
        outcomes = await asyncio.gather(*map(self._names.addresses, targets), return_exceptions=True)
        problem = ""
        for target, outcome in zip(targets, outcomes, strict=True):
            if isinstance(outcome, Addresses):
                self._last[target] = outcome
            elif isinstance(outcome, NotFoundError):
                problem = problem or f"{target}, a target of {where.name}, {outcome}"
            else:
                raise outcome
        self._last = {target: self._last[target] for target in targets if target in self._last}
        pause = min([ttl, AGAIN if problem else ttl, *(known.ttl for known in self._last.values())])
        return Sighting(self._servers(records) or None, pause, problem)

    def _servers(self, records: tuple[ServiceRecord, ...]) -> tuple[Server, ...]:
        first = min(record.priority for record in records)
        servers: dict[SocketAddress, Server] = {}
        for record in sorted(records, key=lambda each: (each.priority, each.target, each.port)):
            known = self._last.get(record.target)
            for text in known.texts if known is not None else ():
                address = SocketAddress(text, record.port)
                # Weight 0 is for the least of shares, not for none (RFC 2782).
                weight = min(max(record.weight, 1), HEAVIEST)
                backup, most = record.priority > first, self._where.max_connections
                servers.setdefault(address, Server(self._region, self._pool, address, weight, backup, most))
        return tuple(servers.values())
