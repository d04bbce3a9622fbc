"""The running state of pools: which of their servers may get requests, in which order, and how many."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import TYPE_CHECKING

import structlog

from edge.balance import make_method
from edge.balance.base import Method
from edge.concurrency import Concurrency
from edge.counters import Latency
from edge.ejection import Ejections
from edge.server import ServerState
from edge.services import Services
from edge.sticky import Tokens, set_cookie
from edge.usability import usable_servers
from edge.waiting import Waiting
from gslb.fleet import Fleet, Pool, Region, Server, SpillOver
from gslb.world import Verdict

if TYPE_CHECKING:
    from edge.http1.events import RequestHead

_log = structlog.get_logger("edge")


class PoolState:
    """One pool of this region at run time. waiting: requests for which no usable server has room.

    context: for TLS to its servers, None for plain TCP; whoever makes the pool known sets it.
    concurrency: how many requests may be in flight. tokens: what cookies say of its servers. panics: whether
    servers are used that checks speak against. Invariant: a server's `usable` is what `settle` made of
    all that is known by then.
    """

    __slots__ = (
        "concurrency",
        "context",
        "ejections",
        "latency",
        "method",
        "name",
        "panics",
        "pool",
        "servers",
        "tokens",
        "waiting",
    )

    def __init__(self, pool: Pool, servers: tuple[Server, ...]) -> None:
        self.pool = pool
        self.name = pool.name
        self.context: ssl.SSLContext | None = None
        self.panics = False
        self.servers = tuple(ServerState(server, pool.connections, self) for server in servers)
        self.method: Method[ServerState] = make_method(pool.method, self.servers)
        self.latency = Latency()
        self.waiting = Waiting(pool.queue, self._has_room)
        self.concurrency = Concurrency(pool.concurrency)
        self.ejections = Ejections(pool.ejection, [server.name for server in self.servers], self._others)
        self._take_standings()
        self.settle(fresh=True)

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
                state = ServerState(server, pool.connections, self)
                state.usable = False  # it comes into use below, and so starts slowly if they do
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
        self.concurrency.use(pool.concurrency)
        self.ejections.use(pool.ejection, [server.name for server in self.servers], now)
        self._take_standings()
        self.settle()
        if pool.method != was.method or servers != declared:
            self.method = make_method(pool.method, self.servers)

    def _take_standings(self) -> None:
        sticky, names = self.pool.sticky, [server.name for server in self.servers]
        self.tokens = Tokens(sticky, self.name, names) if sticky is not None else None
        for server in self.servers:
            server.standing = self.ejections.standings[server.name]

    def session(self, head: RequestHead) -> ServerState | None:
        """The server that a request's cookie names, if it still takes those that know it."""
        name = self.tokens.read(head) if self.tokens is not None else None
        return next((each for each in self.servers if each.name == name and each.keeps_sessions), None)

    def cookie(self, server: ServerState, *, secured: bool) -> bytes:
        """The field line that keeps a client at the server it got. secured: whether it came by HTTPS."""
        sticky, tokens = self.pool.sticky, self.tokens
        # One that is being left may keep whom it has, and gets nobody.
        if sticky is None or tokens is None or not server.usable:
            return b""
        return set_cookie(tokens.token(server.name), sticky, secured=secured)

    def retire(self) -> None:
        """It is declared no more; nobody waits in vain any longer than need be."""
        for server in self.servers:
            server.retire()
        self.waiting.expire(float("inf"))

    def settle(self, *, fresh: bool = False) -> None:
        """Decide anew which servers may get requests. fresh: nobody has used them before."""
        usable, panics = usable_servers(self.servers, self.pool.panic)
        slowly = self.pool.slow_start.time > 0 and not fresh
        now = monotonic()
        for server, may in zip(self.servers, usable, strict=True):
            if may and not server.usable and slowly:
                server.start_slowly(now)
            server.usable = may
        self.warm(now)
        if panics != self.panics:
            self.panics = panics
            if panics:
                text = "too few servers are usable: all are used, whatever checks say"
                _log.warning(text, pool=self.name, usable=self.fit, servers=len(self.servers))
            else:
                _log.info("enough servers are usable again", pool=self.name, usable=self.fit)

    def serve_waiting(self) -> None:
        """Let those go on who wait: there may be room, or nothing here that is worth waiting for."""
        if self.pool.spill_over is not SpillOver.OFF and self.waiting and not self.usable:
            self.waiting.expire(float("inf"))  # they go elsewhere
        else:
            self.waiting.serve()

    def warm(self, now: float) -> None:
        """Let those that start slowly have their share by now (loop time)."""
        time, least = self.pool.slow_start.time, self.pool.slow_start.least
        for server in self.servers:
            server.warm(now, time, least)

    def recovered(self, server: ServerState) -> None:
        """It was ejected for what it did before it went down, if at all."""
        self.ejections.readmit(server.name, monotonic())

    def request_failed(self, server: ServerState, *, answered: bool) -> None:
        """What its failures say of a server."""
        if self.ejections.failed(server.name, monotonic(), answered=answered):
            self._say_ejected(server)
            self.settle()

    def _say_ejected(self, server: ServerState) -> None:
        ejected = server.standing.ejected
        if ejected is not None:
            seconds = round(ejected.until - monotonic(), 1)
            _log.warning(
                "server ejected", server=server.server.target, reason=ejected.reason, seconds=seconds
            )

    def _others(self, name: str) -> list[str]:
        """The servers that could take over from this one."""
        return [
            server.name for server in self.servers if server.fit and server.name != name and not server.backup
        ]

    def judge_by_requests(self, now: float) -> None:
        """Eject whose requests fail more than others', and readmit whose time is over. now: loop time."""
        ejections = self.ejections
        back = ejections.ended(now) if ejections.ejected else ()
        gone: tuple[str, ...] = ()
        if now >= ejections.compares_at:
            gone = ejections.compare(
                now,
                {
                    server.name: (server.requests - server.own, server.failures + server.connect_failures)
                    for server in self.servers
                },
            )
        if not back and not gone:
            return
        for server in self.servers:
            if server.name in gone:
                self._say_ejected(server)
            elif server.name in back:
                _log.info("server readmitted", server=server.server.target)
        self.settle()
        self.serve_waiting()

    def expire(self, now: float) -> None:
        """End what has lasted too long: idle connections, waiting, ejections, slow starts. now: loop time."""
        self.waiting.expire(now)
        self.judge_by_requests(now)
        self.warm(now)
        for server in self.servers:
            server.expire_idle(now)

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
    def fit(self) -> int:
        """How many of them would, if it were not for panic."""
        return sum(server.fit for server in self.servers)

    @property
    def healthy(self) -> int:
        """How many servers are known to be UP, and not taken out by anybody."""
        return sum(server.ready and server.verdict is Verdict.UP for server in self.servers)

    @property
    def not_down(self) -> int:
        """How many servers nobody has found DOWN or taken out; those not yet looked at are used as well."""
        return sum(server.ready and server.verdict is not Verdict.DOWN for server in self.servers)

    @property
    def in_flight(self) -> int:
        return sum(server.in_flight for server in self.servers)

    @property
    def own(self) -> int:
        """Of this process alone."""
        return sum([server.own for server in self.servers])


class Pools:
    """All pools of a region, its servers by the name under which they are observed, and its services."""

    __slots__ = ("by_name", "servers", "services")

    def __init__(self, fleet: Fleet, region: Region) -> None:
        self.by_name: Mapping[str, PoolState] = {
            name: PoolState(pool, region.servers.get(name, ())) for name, pool in fleet.pools.items()
        }
        self.servers: Mapping[str, ServerState] = self._by_target()
        self.services = Services(fleet, region)

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
        self.services.use(fleet, region)
        return tuple(before.values())

    def secure(self, contexts: Mapping[str, ssl.SSLContext]) -> None:
        """Speak TLS by these contexts to the servers of the pools so named, and to no others."""
        for pool in self:
            pool.context = contexts.get(pool.name)

    def serve_waiting(self) -> None:
        """There may be room that nobody has told of."""
        for pool in self:
            pool.serve_waiting()

    def __iter__(self) -> Iterator[PoolState]:
        return iter(self.by_name.values())

    def judge(self, name: str, verdict: Verdict, reason: str, since: float) -> None:
        """Take over a verdict on a server; one that is back has room for those who wait."""
        state = self.servers[name]
        state.judge(verdict, reason, since)
        self.by_name[state.server.pool].serve_waiting()

    def expire(self, now: float) -> None:
        """As `PoolState.expire`. now: loop time."""
        for pool in self:
            pool.expire(now)

    def close_idle(self) -> None:
        for server in self.servers.values():
            server.close_idle()
