"""Decides what an operator's word makes of the servers of a pool while edges run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gslb.fleet import Server, ServerMode, SocketAddress

HEAVIEST = 10_000
"""The greatest weight that a server can have."""


@dataclass(frozen=True, slots=True)
class ServerChange:
    """What holds for one server of a pool in a region instead of what is declared; at least one thing.

    mode: until `until` (seconds since 1970; None: until cleared). A drain gives way to maintenance then, for
    that is its deadline; any other mode ends. weight: until cleared. added: it is there though it is not
    declared. removed: it is not there, though it is.
    """

    region: str
    pool: str
    address: SocketAddress
    mode: ServerMode | None = None
    weight: int | None = None
    added: bool = False
    removed: bool = False
    by: str = ""
    reason: str = ""
    since: float = 0.0
    until: float | None = None

    @property
    def target(self) -> str:
        """The server's name, as edges report it."""
        return f"{self.region}/{self.pool}/{self.address}"

    def mode_at(self, now: float) -> ServerMode | None:
        """What it is for at `now`; None: what is declared."""
        if self.until is None or now < self.until:
            return self.mode
        return ServerMode.MAINTENANCE if self.mode is ServerMode.DRAIN else None


def next_end(changes: Iterable[ServerChange], now: float) -> float | None:
    """When (seconds since 1970) the next mode ends by itself; None if none will."""
    ends = (each.until for each in changes if each.mode is not None and each.until is not None)
    return min((end for end in ends if end > now), default=None)


def of_pool(region: str, pool: str, changes: Iterable[ServerChange]) -> Mapping[SocketAddress, ServerChange]:
    """The changes that concern one pool, by server."""
    return {each.address: each for each in changes if (each.region, each.pool) == (region, pool)}


def changed(
    servers: Iterable[Server], changes: Mapping[SocketAddress, ServerChange], now: float
) -> tuple[Server, ...]:
    """The servers of a pool with all its changes: those that were there in their order, then those added.

    Added ones are in the order of their addresses, so that every edge has the same. Of several servers at
    one address the first is taken.
    """
    present: dict[SocketAddress, Server] = {}
    for server in servers:
        present.setdefault(server.address, server)
    for address, change in sorted(changes.items()):
        if change.added and address not in present:
            present[address] = Server(change.region, change.pool, address)
    return tuple(
        _changed(server, changes.get(address), now)
        for address, server in present.items()
        if address not in changes or not changes[address].removed
    )


def _changed(server: Server, change: ServerChange | None, now: float) -> Server:
    if change is None:
        return server
    mode = change.mode_at(now)
    weight = server.weight if change.weight is None else change.weight
    return replace(server, weight=weight, mode=server.mode if mode is None else mode)
