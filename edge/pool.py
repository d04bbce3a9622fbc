"""The running state of pools and servers: verdicts, requests in flight, counters, idle connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from edge.balance import METHODS
from edge.balance.base import Method
from edge.counters import Latency
from edge.waiting import Waiting
from gslb.fleet import Fleet, Pool, Region, Server
from gslb.fleet_edge import Connections
from gslb.world import Verdict


class IdleConnection(Protocol):
    """A keep-alive connection to a server, as far as a pool has to know it. Times: of the loop."""

    idle_since: float
    opened_at: float

    def close(self) -> None: ...


class ServerState:
    """One server at run time.

    in_flight: requests that are at this server, or on their way to it, now, each on a connection of its own.
    idle: connections waiting for use, the most recently used last, so that the surplus of a quiet hour ages
    and goes.
    """

    __slots__ = (
        "_most",
        "connect_failures",
        "connections",
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

    def __init__(self, server: Server, connections: Connections) -> None:
        self.server = server
        self.connections = connections
        self._most = float("inf") if connections.most is None else connections.most
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

    @property
    def has_room(self) -> bool:
        """Whether it may get one more request now."""
        return self.in_flight < self._most

    def take_idle(self) -> IdleConnection | None:
        """The most recently used idle connection."""
        return self.idle.pop() if self.idle else None

    def keep_idle(self, connection: IdleConnection, now: float) -> None:
        """Keep a connection for later; or close it: the server is DOWN, enough wait, or it is too old."""
        young = now - connection.opened_at < self.connections.max_age
        if self.usable and young and len(self.idle) < self.connections.idle:
            connection.idle_since = now
            self.idle.append(connection)
        else:
            connection.close()

    def forget_idle(self, connection: IdleConnection) -> None:
        """A connection died while it waited."""
        if connection in self.idle:
            self.idle.remove(connection)

    def expire_idle(self, now: float) -> None:
        """Close connections that have been idle for too long."""
        before = now - self.connections.idle_timeout
        # They are in the order in which they became idle, the oldest first.
        while self.idle and self.idle[0].idle_since < before:
            self.idle.pop(0).close()

    def close_idle(self) -> None:
        waiting, self.idle = self.idle, []
        for connection in waiting:
            connection.close()


class PoolState:
    """One pool of this region at run time. waiting: requests for which no usable server has room."""

    __slots__ = ("latency", "method", "name", "pool", "servers", "waiting")

    def __init__(self, pool: Pool, servers: tuple[Server, ...]) -> None:
        self.pool = pool
        self.name = pool.name
        self.servers = tuple(ServerState(server, pool.connections) for server in servers)
        self.method: Method[ServerState] = METHODS[pool.method](self.servers)
        self.latency = Latency()
        self.waiting = Waiting(pool.queue, self._has_room)

    def _has_room(self) -> bool:
        return any(server.usable and server.has_room for server in self.servers)

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

    def judge(self, name: str, verdict: Verdict, reason: str, since: float) -> None:
        """Take over a verdict on a server; one that is back has room for those who wait."""
        state = self.servers[name]
        state.judge(verdict, reason, since)
        self.by_name[state.server.pool].waiting.serve()

    def expire(self, now: float) -> None:
        """End what has lasted too long: idle connections, and waiting. now: loop time."""
        for pool in self:
            pool.waiting.expire(now)
            for server in pool.servers:
                server.expire_idle(now)

    def close_idle(self) -> None:
        for server in self.servers.values():
            server.close_idle()
