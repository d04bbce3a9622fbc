"""What all connections of one edge share: routes, pools, settings, counters, and the watch over time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

import structlog

from edge.access_log import AccessLog
from edge.counters import Counters
from edge.forwarded import TrustedProxies
from edge.hedging import Hedging
from edge.http1.date import date_line
from edge.http1.limits import Limits
from edge.neighbours import Neighbours
from edge.per_route import PerRoute
from edge.pool import Pools, PoolState
from edge.proxy.complaints import Complaints
from edge.proxy.copies import Copies
from edge.proxy.downstream import Downstream
from edge.proxy.entrance import Entrance, Peer
from edge.proxy.headers import new_request_id
from edge.proxy.refusal import explanation, local_response
from edge.proxy_protocol import ProxyHeader
from edge.rate_limit import Buckets
from edge.route import RouteTable
from edge.server import ServerState
from edge.serving import Serving, prepare
from edge.shared_rate_limit import SharedBuckets
from edge.tls.servers import expected_name
from gslb.fleet import Edge, Fleet, Listener, Route
from gslb.fleet_edge import EdgeSettings

if TYPE_CHECKING:
    from edge.proxy.compiled_path import CompiledPath

_log = structlog.get_logger("edge")

_SLOWEST_TICK = 1.0
_FASTEST_TICK = 0.02
_MOST_TURNED_AWAY = 1000  # connections over the limit that hear why; those beyond are just closed
_FIRST_REQUEST = 1.0  # seconds that a connection without one yet is waited for when the edge leaves


class ClientConnection(Protocol):
    """A client's connection, whichever path serves it.

    busy: whether a request is being received or answered, or a response is still on its way out. asked:
    whether a request has come on it already.
    """

    @property
    def peer(self) -> Peer: ...

    @property
    def busy(self) -> bool: ...

    @property
    def asked(self) -> bool: ...

    def close_if_idle(self) -> None: ...

    def abort(self) -> None: ...

    def check(self, now: float) -> None: ...


class Proxy:
    """The data path of one edge. `protocol` makes the protocol of each accepted connection.

    Time limits are looked after by one coarse tick for all connections, so they hold to within a tick: a
    second, or a quarter of the shortest limit if that is less.

    What it serves by is replaced as a whole (`use`), between two callbacks. Connections ask for it when a
    request begins; that request then keeps the settings and the pool that it began with.
    """

    fleet: Fleet
    edge: Edge
    settings: EdgeSettings
    health_path: bytes
    limits: Limits
    trusted: TrustedProxies
    routes: RouteTable

    def __init__(
        self,
        fleet: Fleet,
        edge: Edge,
        pools: Pools,
        loop: asyncio.AbstractEventLoop,
        access_log: AccessLog | None = None,
        *,
        compiled: bool = True,
    ) -> None:
        """Raises TlsError when a file for TLS to servers cannot be used.

        compiled: whether plain requests take the compiled path, where it was built.
        """
        self.region = edge.region
        self.pools = pools
        self.neighbours = Neighbours()
        self.rates: PerRoute[Buckets] = PerRoute(lambda route: route.rate_limit, _buckets)
        self.hedging: PerRoute[Hedging] = PerRoute(lambda route: route.hedge, _hedging)
        self.copies = Copies(self)
        self.access_log = access_log
        self.loop = loop
        self.time = loop.time
        self.counters = Counters()
        self.complain = Complaints(loop.time)
        self.draining = False  # responses say goodbye, and the health path tells DNS nodes to look elsewhere
        self.leaving = False  # nothing new is taken on
        self.via = edge.name.encode()
        self.via_token = f" {edge.name},".lower().encode()
        self.region_mark = f"X-GSLB-Region: {edge.region}\r\n".encode()
        self.connections: set[ClientConnection] = set()
        self.connections_elsewhere = 0  # those of other processes of this edge, as of a moment ago
        self._by_address: Counter[str] = Counter()
        self._entrances: WeakSet[Entrance] = WeakSet()
        self._turned_away: set[ClientConnection] = set()
        self._emptied = asyncio.Event()
        self._ticking: asyncio.TimerHandle | None = None
        self.compiled: CompiledPath | None = None
        self._take(prepare(fleet, edge))
        if compiled:
            self.compiled = _compiled_path(self)

    def use(self, serving: Serving) -> None:
        """Serve by this from the next request on; nothing that is under way is disturbed."""
        gone = self.pools.use(serving.fleet, serving.region, self.time())
        self._take(serving)
        # Now requests go on, and the next ones begin: they must find all in its place.
        for pool in gone:
            pool.retire()
        self.pools.serve_waiting()

    def _take(self, serving: Serving) -> None:
        self.fleet, self.edge = serving.fleet, serving.edge
        self.settings = serving.settings
        self.health_path = serving.settings.health_path.encode()
        self.limits, self.trusted, self.routes = serving.limits, serving.trusted, serving.routes
        self.pools.secure(serving.contexts)
        self.rates.use(serving.fleet.routes)
        self.hedging.use(serving.fleet.routes)
        self.neighbours.use(serving.fleet, serving.region, serving.locator, serving.peer_context, self.time())
        for entrance in self._entrances:
            entrance.use(serving.trusted, serving.settings.tls)
        if self.compiled is not None:
            self.compiled.use()
        self._tick_interval = max(_FASTEST_TICK, min(_SLOWEST_TICK, serving.shortest_limit / 4))

    def protocol(self, entrance: Entrance) -> Callable[[ProxyHeader | None], Downstream]:
        """What makes the protocols of the general path's connections."""
        return partial(Downstream, self, entrance)

    def entrance(self, listener: Listener) -> Entrance:
        """What the connections through one listener have in common."""
        entrance = Entrance(listener, self.trusted, self.settings.tls)
        self._entrances.add(entrance)
        return entrance

    def is_neighbour(self, server: ServerState) -> bool:
        """Whether it is an edge of another region."""
        return server.server.region != self.region

    def server_tls(self, pool: PoolState, server: ServerState, host: bytes) -> dict[str, Any]:
        """How to connect to a server of a pool: more arguments for `create_connection`. host: the
        request's."""
        if self.is_neighbour(server):
            return self.neighbours.tls(server, host)
        tls = pool.pool.tls
        if tls is None:
            return {}
        return {"ssl": pool.context, "server_hostname": expected_name(tls, server.server.address.host)}

    def date(self) -> bytes:
        """The Date field of a response that begins now (RFC 9110 6.6.1)."""
        return date_line(int(time.time()))

    def admit(self, connection: ClientConnection, *, http: bool = True) -> str:
        """Take on a new connection; why not, when the edge or the client has as many as it may."""
        self.counters.connections += 1
        settings, address = self.settings, connection.peer.address
        each = settings.max_connections_per_client
        reason = ""
        if len(self.connections) + self.connections_elsewhere >= settings.max_connections:
            most = settings.max_connections
            reason = f"region {self.region} has {most} connections at this edge, its limit"
            self.complain("too many connections", limit=most)
        elif each is not None and self._by_address[address] >= each:
            reason = f"{address} has {each} connections to this edge, the most that one client may have"
            self.complain("too many connections of one client", client=address, limit=each)
        if not reason:
            self.keep(connection)
            return ""
        self.counters.connections_refused += 1
        if http:
            self.counters.refused(503)
        return reason

    def keep(self, connection: ClientConnection) -> None:
        """Look after a connection's time, and wait for its end when leaving; until it is forgotten."""
        self.connections.add(connection)
        self._by_address[connection.peer.address] += 1

    def turn_away(self, connection: ClientConnection, reason: str) -> bytes | None:
        """What to tell a connection that was not admitted; None when too many are being told already."""
        if len(self._turned_away) >= min(_MOST_TURNED_AWAY, self.settings.max_connections):
            return None
        self._turned_away.add(connection)
        request_id = new_request_id().decode()
        return local_response(
            503,
            explanation(503, reason, request_id),
            request_id=request_id,
            region=self.region,
            keep_alive=False,
            date=self.date(),
        )

    def replace(self, before: ClientConnection, after: ClientConnection) -> None:
        """The same connection goes on as `after`."""
        if before in self.connections:
            self.connections.remove(before)
            self.connections.add(after)

    def forget(self, connection: ClientConnection) -> None:
        self._turned_away.discard(connection)
        if connection in self.connections:
            self.connections.remove(connection)
            address = connection.peer.address
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
        if not self.connections:
            self._emptied.set()

    def start(self) -> None:
        """Begin to watch over time limits."""
        if self.compiled is not None:
            self.compiled.start()
        self._ticking = self.loop.call_later(self._tick_interval, self._tick)

    def _tick(self) -> None:
        self._ticking = self.loop.call_later(self._tick_interval, self._tick)
        now = self.time()
        for connection in (*self.connections, *self._turned_away):
            try:
                connection.check(now)
            except Exception:
                # A fault of ours with one connection must not cost the others their time limits.
                _log.exception("a connection's time limits could not be enforced")
        self.pools.expire(now)
        self.neighbours.expire(now)
        if self.access_log is not None:
            self.access_log.flush()

    async def drain(self, timeout: float) -> int:
        """Finish what is in flight and take on nothing new; how many connections had to be cut off.

        Idle connections are closed at once, others say `Connection: close` with their response. A client
        that has just connected is about to ask, and would take a closed door for an error: it is waited for.
        """
        self.draining = self.leaving = True
        self.pools.close_idle()
        self.neighbours.close_idle()
        for connection in tuple(self.connections):
            if connection.asked:
                connection.close_if_idle()
        patience = min(_FIRST_REQUEST, timeout)
        await self._wait_until_empty(patience)
        for connection in tuple(self.connections):
            connection.close_if_idle()
        await self._wait_until_empty(timeout - patience)
        left = tuple(self.connections)
        cut_off = sum(connection.busy for connection in left)
        for connection in (*left, *self._turned_away):
            connection.abort()
        return cut_off

    async def _wait_until_empty(self, timeout: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.connections:
                    self._emptied.clear()
                    await self._emptied.wait()

    def stop(self) -> None:
        """Forget the clock and all connections to servers."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        if self.compiled is not None:
            self.compiled.close()
        self.pools.close_idle()
        self.neighbours.close_idle()
        self.copies.close()


def _buckets(route: Route) -> Buckets:
    assert route.rate_limit is not None
    return SharedBuckets(route.rate_limit) if route.rate_limit.shared else Buckets(route.rate_limit)


def _hedging(route: Route) -> Hedging:
    assert route.hedge is not None
    return Hedging(route.hedge)


def has_compiled_path() -> bool:
    """Whether its modules were built; else the general path serves everything."""
    try:
        import edge.proxy.compiled_path  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def _compiled_path(proxy: Proxy) -> CompiledPath | None:
    if not has_compiled_path():
        return None
    from edge.proxy.compiled_path import CompiledPath

    return CompiledPath(proxy)
