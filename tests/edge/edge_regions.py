"""Edges of several regions in one process, each in front of its own servers, all of one fleet."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from edge_stage import Message, Origin, Seen, Stage, answering, ok, read_message, tcp_check, until
from ports import free_port

from edge.listeners import Listeners, terms
from edge.pool import Pools
from edge.proxy.proxy import Proxy
from edge.serving import prepare
from gslb.fleet import (
    Balancing,
    DnsSettings,
    Edge,
    EdgeSettings,
    Fleet,
    GeoSettings,
    Listener,
    Pool,
    RedisSettings,
    Region,
    Route,
    Server,
    SocketAddress,
    SpillOver,
)
from gslb.geo.location import Coordinates
from gslb.world import Verdict

PLACES = {
    "eu-west": Coordinates(53.35, -6.26),
    "us-east": Coordinates(39.04, -77.49),
    "ap-south": Coordinates(1.35, 103.82),
}
WEST, EAST, ASIA = PLACES
GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\n\r\nhello"
Origins = Mapping[str, Sequence[Origin | SocketAddress]]


def address_of(server: Origin | SocketAddress) -> SocketAddress:
    return server.address if isinstance(server, Origin) else server


def fleet_of(
    origins: Origins,
    *,
    spill_over: SpillOver = SpillOver.ON_FAILURE,
    pool: Mapping[str, Any] | None = None,
    route: Mapping[str, Any] | None = None,
    tls: Collection[str] = (),
    edges: Mapping[str, int] | None = None,
    **settings: Any,
) -> Fleet:
    """All goes to one pool `web`. edges: how many a region has, if not one. tls: regions whose listeners
    speak it."""
    check = tcp_check()
    regions = {}
    for name, servers in origins.items():
        made = tuple(_edge(name, number, tls=name in tls) for number in range((edges or {}).get(name, 1)))
        declared = tuple(Server(name, "web", address_of(each)) for each in servers)
        regions[name] = Region(name, PLACES[name], made, check, {"web": declared})
    return Fleet(
        file="regions.yaml",
        regions=regions,
        pools={"web": Pool("web", Balancing(), check, spill_over=spill_over, **(pool or {}))},
        routes=(Route(None, "/", "web", **(route or {})),),
        services={},
        zones={},
        redis=RedisSettings(),
        geo=GeoSettings(),
        dns=DnsSettings(nodes={}),
        edge=replace(EdgeSettings(lame_duck=0.0), **settings),
    )


def _edge(region: str, number: int, *, tls: bool) -> Edge:
    address, port = ip_address("127.0.0.1"), free_port()
    listener = Listener(SocketAddress(str(address), port), tls=tls)
    return Edge(f"{region}-{number}", region, (address,), port, (listener,), {})


class Regions:
    """proxies: the first edge of each region's, by its name. Nobody probes: a test gives the verdicts."""

    def __init__(self, fleet: Fleet, *, compiled: bool, contexts: Mapping[str, ssl.SSLContext]) -> None:
        loop = asyncio.get_running_loop()
        self.fleet = fleet
        self.proxies: dict[str, Proxy] = {}
        self._listeners: list[tuple[Proxy, Listeners, ssl.SSLContext | None]] = []
        for region in fleet.regions.values():
            for edge in region.edges:
                proxy = Proxy(fleet, edge, Pools(fleet, region), loop, compiled=compiled)
                self.proxies.setdefault(region.name, proxy)
                self._listeners.append((proxy, Listeners(proxy), contexts.get(region.name)))

    async def start(self) -> None:
        for proxy, listeners, context in self._listeners:
            wanted = [terms(each, proxy.settings, context) for each in proxy.edge.listen]
            bound = listeners.prepare(wanted)
            await listeners.begin(bound)
            listeners.use(bound)
            proxy.start()

    async def stop(self) -> None:
        for proxy, listeners, _ in self._listeners:
            await listeners.close()
            await proxy.drain(0.0)
            proxy.stop()

    async def close(self, region: str) -> None:
        """A region's edges refuse connections and end those they have."""
        for proxy, listeners, _ in self._listeners:
            if proxy.region == region:
                await listeners.close()
                await proxy.drain(0.0)

    def use(self, fleet: Fleet) -> None:
        """All edges go on with another reading of the file."""
        self.fleet = fleet
        for proxy, _, _ in self._listeners:
            edges = {edge.name: edge for edge in fleet.regions[proxy.region].edges}
            proxy.use(prepare(fleet, edges[proxy.edge.name]))

    def judge(self, region: str, verdict: Verdict) -> None:
        """All servers of a region, as its edges see them."""
        for proxy, _, _ in self._listeners:
            if proxy.region == region:
                for target in proxy.pools.servers:
                    proxy.pools.judge(target, verdict, "test", 0.0)

    def down(self, *regions: str) -> None:
        for region in regions:
            self.judge(region, Verdict.DOWN)

    async def connect(self, region: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = self.proxies[region].edge.listen[0].address
        return await asyncio.open_connection(address.host, address.port)

    async def ask(self, region: str, request: bytes = GET) -> Message:
        """On a connection of its own, to a region's first edge."""
        reader, writer = await self.connect(region)
        try:
            writer.write(request)
            return await read_message(reader)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way anywhere, and every server and every edge was left."""
        return all(
            proxy.counters.in_flight == 0 == sum(pool.in_flight for pool in (*proxy.pools, *proxy.neighbours))
            for proxy, _, _ in self._listeners
        )


@asynccontextmanager
async def regions_of(
    origins: Origins,
    *,
    compiled: bool = True,
    contexts: Mapping[str, ssl.SSLContext] | None = None,
    **options: Any,
) -> AsyncIterator[Regions]:
    """contexts: of the listeners with TLS, by region. options: see fleet_of."""
    regions = Regions(fleet_of(origins, **options), compiled=compiled, contexts=contexts or {})
    await regions.start()
    try:
        yield regions
        await until(lambda: regions.at_rest)
    finally:
        await regions.stop()


Begin = Callable[..., Awaitable[Regions]]


@asynccontextmanager
async def beginning(*, compiled: bool) -> AsyncIterator[Begin]:
    """Starts edges as `regions_of` does, and stops them all at the end."""
    async with AsyncExitStack() as stack:

        async def begin(origins: Origins, **options: Any) -> Regions:
            return await stack.enter_async_context(regions_of(origins, compiled=compiled, **options))

        yield begin


async def one_each(stage: Stage, *regions: str, seen: Seen | None = None) -> dict[str, list[Origin]]:
    """A server for each region, which says the region's name."""
    return {name: [await stage.origin(answering(ok(name.encode()), seen))] for name in regions}


def spilled(answer: Message, came_to: str, went_to: str) -> bool:
    """Whether the answer tells that it is from another region, and is from there."""
    marks = (answer.get("x-gslb-spilled-from"), answer.get("x-gslb-region"), answer.body.decode())
    return marks == (came_to, went_to, went_to)
