"""A stage for edge tests: a fleet made by hand, origin servers written with streams, and raw clients."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

from edge.listeners import Listeners, Terms
from edge.pool import Pools
from edge.proxy.proxy import Proxy
from gslb.fleet import (
    Balancing,
    BalancingMethod,
    DnsSettings,
    Edge,
    EdgeSettings,
    Fleet,
    GeoSettings,
    HealthCheck,
    Listener,
    Pool,
    RedisSettings,
    Region,
    Route,
    Server,
    SocketAddress,
)
from gslb.geo.location import Coordinates
from gslb.health.checks import CHECKS

REGION = "eu-west"
COMPILED = "GSLB_TEST_GENERAL" not in os.environ
"""Whether plain requests take the compiled path; all holds for the general path alone, too."""
ANYWHERE = Listener(SocketAddress("127.0.0.1", 0))
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def tcp_check(**timing: Any) -> HealthCheck:
    kind = CHECKS["tcp"]
    return HealthCheck("tcp", kind.from_options(kind.Options()), **timing)


def make_fleet(
    pools: Mapping[str, Sequence[SocketAddress | tuple[Any, ...]]],
    *,
    methods: Mapping[str, BalancingMethod | Balancing] | None = None,
    routes: Sequence[Route] | None = None,
    capacity: float | None = 100.0,
    admin: SocketAddress | None = None,
    check: HealthCheck | None = None,
    listener: Listener = ANYWHERE,
    pool: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Fleet:
    """A fleet of one region with one edge; every pool is routed by its own name as the first segment.

    pool: settings of every pool. An entry of `pools` may be a tuple of what a server is declared with.
    """
    check = check or tcp_check()
    servers = {
        name: tuple(
            Server(REGION, name, *(entry if isinstance(entry, tuple) else (entry,))) for entry in entries
        )
        for name, entries in pools.items()
    }
    address = ip_address("127.0.0.1")
    edge = Edge(
        name="eu-west-1",
        region=REGION,
        addresses=(address,),
        port=80,
        listen=(listener,),
        probe={address: SocketAddress("127.0.0.1", 80)},
        admin=admin,
    )
    region = Region(REGION, Coordinates(53.35, -6.26), (edge,), check, servers, capacity=capacity)
    chosen = {
        name: method if isinstance(method, Balancing) else Balancing(method)
        for name, method in (methods or {}).items()
    }
    return Fleet(
        file="regions.yaml",
        regions={REGION: region},
        pools={name: Pool(name, chosen.get(name, Balancing()), check, **(pool or {})) for name in pools},
        routes=tuple(routes if routes is not None else (Route(None, f"/{name}", name) for name in pools)),
        services={},
        zones={},
        redis=RedisSettings(),
        geo=GeoSettings(),
        dns=DnsSettings(nodes={}),
        edge=replace(EdgeSettings(lame_duck=0.0), **settings),
    )


class Origin:
    """A server that does what its handler says with each connection, and can be stopped dead."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.connections = 0

    async def start(self) -> Origin:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = SocketAddress(*self._server.sockets[0].getsockname()[:2])
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._handler(reader, writer)
        self._writers.discard(writer)
        self._tasks.discard(task)
        writer.close()

    def drop_connections(self) -> None:
        """Close every connection as a server does that has had enough of idle ones."""
        for writer in tuple(self._writers):
            writer.close()

    async def kill(self) -> None:
        """Refuse new connections and reset those there are."""
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Message:
    """A message as a test reads it off the wire, by a parser of its own."""

    start: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    trailing_data: bytes = b""

    def get(self, name: str) -> str | None:
        found = [value for key, value in self.fields if key.lower() == name.lower()]
        assert len(found) < 2, f"{name} came {len(found)} times"
        return found[0] if found else None

    @property
    def status(self) -> int:
        return int(self.start.split()[1])


async def read_head(reader: asyncio.StreamReader) -> Message:
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = text[:-4].split("\r\n")
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        assert colon, f"not a field: {line!r}"
        fields.append((name, value.strip(" \t")))
    return Message(start, fields)


async def read_chunked(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        size = int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)
        if size == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass  # a trailer
            return bytes(body)
        data = await reader.readexactly(size + 2)
        assert data[-2:] == b"\r\n"
        body += data[:-2]


async def read_message(reader: asyncio.StreamReader, *, head_only: bool = False) -> Message:
    """One message; a test that waits in vain fails instead of hanging."""
    async with asyncio.timeout(10):
        return await _read_message(reader, head_only)


async def _read_message(reader: asyncio.StreamReader, head_only: bool) -> Message:
    message = await read_head(reader)
    length, coding = message.get("content-length"), message.get("transfer-encoding")
    assert length is None or coding is None, "both framings"
    bodiless = message.start.startswith("HTTP/") and (message.status < 200 or message.status in (204, 304))
    if head_only or bodiless:
        return message
    if coding is not None:
        assert coding == "chunked"
        message.body = await read_chunked(reader)
    elif length is not None:
        message.body = await reader.readexactly(int(length))
    elif message.start.startswith("HTTP/"):
        message.body = await reader.read()
    return message


@dataclass
class Seen:
    """What an origin was sent."""

    requests: list[Message] = field(default_factory=list)


def answering(response: bytes, seen: Seen | None = None) -> Handler:
    """Answers every request of every connection with `response`, as it is."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            message = await read_message(reader)
            if seen is not None:
                seen.requests.append(message)
            writer.write(response)
            await writer.drain()

    return handle


def ok(body: bytes = b"hello") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Stage:
    """Starts origins and proxies on the running loop, and takes everything down again."""

    def __init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self.proxy: Proxy
        self.port = 0
        self.compiled = COMPILED

    async def origin(self, handler: Handler) -> Origin:
        origin = await Origin(handler).start()
        self._stack.push_async_callback(origin.kill)
        return origin

    async def serve(self, fleet: Fleet) -> Proxy:
        loop = asyncio.get_running_loop()
        region = fleet.regions[REGION]
        self.proxy = proxy = Proxy(fleet, region.edges[0], Pools(fleet, region), loop, compiled=self.compiled)
        # An edge's own listeners, as they choose between the compiled path and the general one.
        listeners = Listeners(proxy)
        bound = listeners.prepare([Terms(replace(proxy.edge.listen[0], address=ANYWHERE.address), None)])
        await listeners.begin(bound)
        listeners.use(bound)
        self.port = listeners.addresses[0].port
        proxy.start()

        async def stop() -> None:
            await listeners.close()
            await proxy.drain(0.0)
            proxy.stop()

        self._stack.push_async_callback(stop)
        return proxy

    async def one_pool(self, *origins: Origin, **options: Any) -> Proxy:
        """Everything goes to one pool `web`."""
        return await self.serve(
            make_fleet(
                {"web": [origin.address for origin in origins]}, routes=[Route(None, "/", "web")], **options
            )
        )

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._stack.callback(writer.close)
        return reader, writer

    async def ask(self, request: bytes, *, head_only: bool = False) -> Message:
        """Send `request` on a connection of its own and read one response; then the end, if it closes."""
        reader, writer = await self.connect()
        writer.write(request)
        message = await read_message(reader, head_only=head_only)
        if message.get("connection") == "close":
            message.trailing_data = await reader.read()
        writer.close()
        return message

    async def close(self) -> None:
        await self._stack.aclose()


async def stage_fixture() -> AsyncIterator[Stage]:
    stage = Stage()
    try:
        yield stage
    finally:
        await stage.close()


async def until(condition: Callable[[], bool], within: float = 5.0) -> None:
    """Let the loop run until `condition` holds."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.001)
