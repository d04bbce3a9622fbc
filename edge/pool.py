"""The running state of pools and servers: verdicts, requests in flight, counters, idle connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from edge.balance import METHODS
from edge.balance.base import Method
from edge.counters import Latency
from gslb.fleet import Fleet, Pool, Region, Server
from gslb.world import Verdict


class IdleConnection(Protocol):
    """A keep-alive connection to a server, as far as a pool has to know it. idle_since: loop time."""

    idle_since: float

    def close(self) -> None: ...


class ServerState:
    """One server at run time.

    in_flight: requests that are at this server, or on their way to it, now. idle: connections waiting
    for use, the most recently used last, so that the surplus of a quiet hour ages and goes.
    """

    __slots__ = (
        "connect_failures",
        "failures",
        "idle",
        "in_flight",
        "name",
        "opened",
        "reason",
        "requests",
        "server",
        "since",
        "usable",
        "verdict",
        "weight",
    )

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = str(server.address)
        self.weight = server.weight
        self.verdict = Verdict.UNKNOWN
        self.reason = "not observed yet"
        self.since = 0.0
        self.usable = server.weight > 0
        self.in_flight = 0
        self.requests = 0
        self.failures = 0
        self.connect_failures = 0
        self.opened = 0
        self.idle: list[IdleConnection] = []

    def judge(self, verdict: Verdict, reason: str, since: float) -> None:
        """Take over a verdict: UNKNOWN is usable, DOWN is not and loses its idle connections."""
        self.verdict, self.reason, self.since = verdict, reason, since
        self.usable = verdict is not Verdict.DOWN and self.weight > 0
        if verdict is Verdict.DOWN:
            self.close_idle()

    def take_idle(self) -> IdleConnection | None:
        """The most recently used idle connection."""
        return self.idle.pop() if self.idle else None

    def keep_idle(self, connection: IdleConnection, limit: int) -> None:
        """Keep a connection for later, or close it: the server is DOWN, or `limit` are waiting already."""
        if self.usable and len(self.idle) < limit:
            self.idle.append(connection)
        else:
            connection.close()

    def forget_idle(self, connection: IdleConnection) -> None:
        """A connection died while it waited."""
        if connection in self.idle:
            self.idle.remove(connection)

    def expire_idle(self, before: float) -> None:
        """Close connections idle since before the loop time `before`."""
        # They are in the order in which they became idle, the oldest first.
        while self.idle and self.idle[0].idle_since < before:
            self.idle.pop(0).close()

    def close_idle(self) -> None:
        waiting, self.idle = self.idle, []
        for connection in waiting:
            connection.close()


class PoolState:
    """One pool of this region at run time."""

    __slots__ = ("latency", "method", "name", "pool", "servers")

    def __init__(self, pool: Pool, servers: tuple[Server, ...]) -> None:
        self.pool = pool
        self.name = pool.name
        self.servers = tuple(ServerState(server) for server in servers)
        self.method: Method[ServerState] = METHODS[pool.method](self.servers)
        self.latency = Latency()

    def candidates(self, client: str) -> Iterator[ServerState]:
        """The usable servers in the method's order for `client`, an address as text."""
        return self.method.candidates(client)

    @property
    def usable(self) -> int:
        """How many servers may get requests."""
        return sum(server.usable for server in self.servers)

    @property
    def healthy(self) -> int:
        """How many servers are known to be UP."""
        return sum(server.verdict is Verdict.UP for server in self.servers)

    @property
    def in_flight(self) -> int:
        return sum(server.in_flight for server in self.servers)


class Pools:
    """All pools of a region, and its servers by the name under which they are observed."""

    __slots__ = ("by_name", "servers")

    def __init__(self, fleet: Fleet, region: Region) -> None:
        self.by_name: Mapping[str, PoolState] = {
            name: PoolState(pool, region.servers.get(name, ())) for name, pool in fleet.pools.items()
        }
        self.servers: Mapping[str, ServerState] = {
            state.server.target: state for pool in self.by_name.values() for state in pool.servers
        }

    def __iter__(self) -> Iterator[PoolState]:
        return iter(self.by_name.values())

    def expire_idle(self, before: float) -> None:
        for server in self.servers.values():
            server.expire_idle(before)

    def close_idle(self) -> None:
        for server in self.servers.values():
            server.close_idle()
