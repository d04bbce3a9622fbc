"""The running state of pools and servers: verdicts, requests in flight, counters, idle connections."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Protocol

from edge.balance import make_method
from edge.balance.base import Method
from edge.balance.peak_ewma import PeakEwma
from edge.counters import Latency
from edge.waiting import Waiting
from gslb.fleet import Fleet, Pool, Region, Server
from gslb.fleet_edge import Connections
from gslb.world import Verdict


class IdleConnection(Protocol):
    """A keep-alive connection to a server, as far as a pool has to know it. Times: of the loop.

    usable: whether a request may be written to it. surrender: give its descriptor to the other path through
    the edge; -1 if there is none any more.
    """

    idle_since: float
    opened_at: float

    @property
    def usable(self) -> bool: ...

    def surrender(self) -> int: ...

    def close(self) -> None: ...


class ServerState:
    """One server at run time.

    own: requests of this process that are at this server, or on their way to it, now, each on a connection
    of its own. in_flight: those of all processes of the edge; what balancing goes by. max_in_flight: how many
    of these it may have. load: share of its resources in use as it told last, 0 to 1; None: it tells none.
    idle: connections waiting for use, the most recently used last, so that the surplus of a quiet hour ages
    and goes. idle_elsewhere: how many other processes have.
    """

    __slots__ = (
        "_column",
        "_columns",
        "_most",
        "_row",
        "_spoken_since",
        "_times",
        "backup",
        "connect_failures",
        "connections",
        "failures",
        "idle",
        "idle_elsewhere",
        "load",
        "max_in_flight",
        "name",
        "opened",
        "own",
        "reason",
        "requests",
        "server",
        "since",
        "usable",
        "verdict",
        "weight",
    )

    def __init__(self, server: Server, connections: Connections) -> None:
        self.name = str(server.address)
        self.verdict = Verdict.UNKNOWN
        self.reason = "not observed yet"
        self.since = 0.0
        self._spoken_since = float("-inf")  # connections from before speak otherwise than is wanted now
        self._columns: tuple[memoryview[int], ...] = ()  # the others'
        self._column: memoryview[int] | None = None  # where they see ours
        self._row = 0
        self._times = PeakEwma()
        self.load: float | None = None
        self.use(server, connections)
        self.own = 0
        self.idle_elsewhere = 0
        self.requests = 0
        self.failures = 0
        self.connect_failures = 0
        self.opened = 0
        self.idle: list[IdleConnection] = []

    def use(self, server: Server, connections: Connections) -> None:
        """Go on as declared now: another weight, other bounds; what is known and counted stays."""
        self.server = server
        self.connections = connections
        most = connections.most if server.max_connections is None else server.max_connections
        self._most = float("inf") if most is None else most
        self.weight = server.weight
        self.backup = server.backup
        self.usable = self.verdict is not Verdict.DOWN and server.weight > 0
        self._bound()

    def _bound(self) -> None:
        # Every process that sends it requests may have so many there.
        self.max_in_flight = self._most * max(1, len(self._columns) + (self._column is not None))

    @property
    def in_flight(self) -> int:
        if not self._columns:
            return self.own
        row = self._row
        return self.own + sum([column[row] for column in self._columns])

    def enter(self) -> None:
        """One more request goes there."""
        self.own += 1
        self.requests += 1
        if self._column is not None:
            self._column[self._row] = self.own

    def leave(self) -> None:
        """One request is there no more."""
        self.own -= 1
        if self._column is not None:
            self._column[self._row] = self.own

    def share(self, row: int, ours: memoryview[int] | None, others: tuple[memoryview[int], ...]) -> None:
        """Count together with other processes. row: of each column. ours: None for who sends it nothing."""
        self._row, self._column, self._columns = row, ours, others
        self._bound()
        if ours is not None:
            ours[row] = self.own

    def speak_anew(self, now: float) -> None:
        """It is spoken to otherwise from now on (TLS, PROXY headers): no older connection is used again.

        now: loop time.
        """
        self._spoken_since = now
        self.close_idle()

    def retire(self) -> None:
        """It is declared no more: what is at it may end there, and nothing new comes."""
        self.usable = False
        self.share(0, None, ())
        self.close_idle()

    def judge(self, verdict: Verdict, reason: str, since: float) -> None:
        """Take over a verdict: UNKNOWN is usable, DOWN is not and loses its idle connections."""
        self.verdict, self.reason, self.since = verdict, reason, since
        self.usable = verdict is not Verdict.DOWN and self.weight > 0
        if verdict is Verdict.DOWN:
            self.close_idle()

    @property
    def response_time(self) -> float | None:
        """Seconds to the first byte, as it is to be expected now; None: not known yet."""
        return self._times.at(monotonic())

    def answered(self, seconds: float) -> None:
        """The first byte of a response came so many seconds after the request had gone there."""
        self._times.add(seconds, monotonic())

    def failed(self, seconds: float) -> None:
        """A request failed there, which counts as slow. seconds: that it waited, if no response came."""
        self._times.fail(seconds, monotonic())

    @property
    def has_room(self) -> bool:
        """Whether it may get one more request of this process now."""
        return self.own < self._most

    def take_idle(self) -> IdleConnection | None:
        """The most recently used idle connection."""
        return self.idle.pop() if self.idle else None

    def keep_idle(self, connection: IdleConnection, now: float) -> None:
        """Keep a connection for later; or close it: the server is not usable, enough wait, it is too old."""
        opened_at = connection.opened_at
        young = now - opened_at < self.connections.max_age and opened_at >= self._spoken_since
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
    """One pool of this region at run time. waiting: requests for which no usable server has room.

    context: for TLS to its servers, None for plain TCP; whoever makes the pool known sets it.
    """

    __slots__ = ("context", "latency", "method", "name", "pool", "servers", "waiting")

    def __init__(self, pool: Pool, servers: tuple[Server, ...]) -> None:
        self.pool = pool
        self.name = pool.name
        self.context: ssl.SSLContext | None = None
        self.servers = tuple(ServerState(server, pool.connections) for server in servers)
        self.method: Method[ServerState] = make_method(pool.method, self.servers)
        self.latency = Latency()
        self.waiting = Waiting(pool.queue, self._has_room)

    def use(self, pool: Pool, servers: tuple[Server, ...], now: float) -> None:
        """Go on as declared now, for those who come and those who wait. now: loop time.

        Servers that stay keep their states. Those that go are retired: what is at them ends there.
        """
        before = {state.server.target: state for state in self.servers}
        was, declared = self.pool, tuple(state.server for state in self.servers)
        anew = (pool.tls, pool.proxy_protocol) != (was.tls, was.proxy_protocol)
        states: list[ServerState] = []
        for server in servers:
            state = before.pop(server.target, None)
            if state is None:
                state = ServerState(server, pool.connections)
            else:
                state.use(server, pool.connections)
                if anew:
                    state.speak_anew(now)
            states.append(state)
        for gone in before.values():
            gone.retire()
        self.pool = pool
        self.servers = tuple(states)
        self.waiting.settings = pool.queue
        if pool.method != was.method or servers != declared:
            self.method = make_method(pool.method, self.servers)

    def retire(self) -> None:
        """It is declared no more; nobody waits in vain any longer than need be."""
        for server in self.servers:
            server.retire()
        self.waiting.expire(float("inf"))

    def _has_room(self) -> bool:
        return any(server.has_room for server in self.in_turn())

    def in_turn(self) -> list[ServerState]:
        """The usable servers that requests go to: normal ones, or backups where there are none."""
        usable = [server for server in self.servers if server.usable]
        return [server for server in usable if not server.backup] or usable

    def candidates(self, key: str) -> Iterator[ServerState]:
        """Those that are in turn, in the method's order. key: the request's, as `edge.balance.key` has it."""
        return self.method.candidates(key)

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
        self.servers: Mapping[str, ServerState] = self._by_target()

    def _by_target(self) -> dict[str, ServerState]:
        return {state.server.target: state for pool in self.by_name.values() for state in pool.servers}

    def use(self, fleet: Fleet, region: Region, now: float) -> tuple[PoolState, ...]:
        """Go on with another fleet, in place: whoever holds a pool or a server that stays holds it still.

        The pools that go, which the caller retires once nothing leads to them. now: loop time.
        """
        before = dict(self.by_name)
        pools: dict[str, PoolState] = {}
        for name, pool in fleet.pools.items():
            state = before.pop(name, None)
            servers = region.servers.get(name, ())
            if state is None:
                state = PoolState(pool, servers)
            else:
                state.use(pool, servers, now)
            pools[name] = state
        self.by_name = pools
        self.servers = self._by_target()
        return tuple(before.values())

    def secure(self, contexts: Mapping[str, ssl.SSLContext]) -> None:
        """Speak TLS by these contexts to the servers of the pools so named, and to no others."""
        for pool in self:
            pool.context = contexts.get(pool.name)

    def serve_waiting(self) -> None:
        """There may be room that nobody has told of."""
        for pool in self:
            pool.waiting.serve()

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
