"""An edge between a client and a server that are wires in memory, on a real event loop: see Wired."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from edge_stage import REGION, make_fleet
from strict_reading import IncompleteError, Read, read_request

from edge.pool import Pools
from edge.proxy.proxy import Proxy
from edge.server import IdleConnection
from gslb.fleet import Route, SocketAddress

QUIET_TURNS = 4  # of the loop without news: connecting takes fewer
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


class Line(asyncio.Transport):
    """A transport in memory that does as event loops do: nothing is delivered while reading is paused or
    after the end, and the loss of a connection is told later."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("192.0.2.1", 4711), "sockname": ("192.0.2.9", 80)})
        self.loop = loop
        self.protocol = protocol
        self.written = b""
        self.closed = False
        self.said_end = False
        self._paused = False
        self._arriving: list[bytes | None] = []
        protocol.connection_made(self)

    def arrive(self, data: bytes | None) -> None:
        """Bytes from the other end, or its end."""
        self._arriving.append(data)
        self._deliver()

    @property
    def stuck(self) -> bool:
        return not self.closed and bool(self._arriving)

    def _deliver(self) -> None:
        while self._arriving and not self._paused and not self.closed:
            data = self._arriving.pop(0)
            if data is not None:
                self.protocol.data_received(data)
            elif not self.protocol.eof_received():
                self.close()

    def write(self, data: Any) -> None:
        assert not self.said_end
        if not self.closed:
            self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.said_end = True

    def abort(self) -> None:
        self.close()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.loop.call_soon(self.protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self.loop.call_soon(self._deliver)


class Scribe:
    """A server that writes down what it is asked. answer: the bytes for a request, or None for the end.

    early: whether it answers heads, and does not wait for bodies. tunnelled: what came after a 101.
    """

    def __init__(self, line: Line, answer: Callable[[Read], bytes | None], *, early: bool) -> None:
        self.line = line
        self.seen: list[Read] = []
        self.tunnelled: bytes | None = None
        self._answer = answer
        self._early = early
        self._answered = 0
        self._at = 0

    def look(self) -> None:
        """Read what has come, strictly: the edge has no excuse for a request that is not well-formed."""
        while self.tunnelled is None and self._at < len(self.line.written):
            try:
                request = read_request(self.line.written, self._at)
            except IncompleteError:
                return
            number = self._answered
            self.seen[number:] = [request]
            if not request.complete and not self._early:
                return
            if len(self.seen) > self._answered:
                self._answered += 1
                response = self._answer(request)
                self._at = request.end
                if response is not None and response.startswith(UPGRADED):
                    self.tunnelled = b""
                    self._tunnel_at = request.end
                self.line.arrive(response)
            if not request.complete:
                self._at = len(self.line.written)
                return
        if self.tunnelled is not None:
            self.tunnelled = self.line.written[self._tunnel_at :]


class Wired:
    """An edge between one client and as many connections to a server as it makes, all in memory."""

    def __init__(
        self, answer: Callable[[Read], bytes | None], *, early: bool = False, **options: Any
    ) -> None:
        self.loop = asyncio.get_running_loop()
        fleet = make_fleet(
            {"web": [SocketAddress("192.0.2.2", 80)]}, routes=[Route(None, "/", "web")], **options
        )
        region = fleet.regions[REGION]
        self.scribes: list[Scribe] = []
        self._answer = answer
        self._early = early
        loop = cast(asyncio.AbstractEventLoop, self)
        self.proxy = Proxy(fleet, region.edges[0], Pools(fleet, region), loop, compiled=False)
        self.client = Line(
            self.loop, self.proxy.protocol(self.proxy.entrance(region.edges[0].listen[0]))(None)
        )

    # What of a loop the proxy uses.

    def time(self) -> float:
        return 0.0

    def create_task(self, coroutine: Any) -> Any:
        return self.loop.create_task(coroutine)

    async def create_connection(self, factory: Any, host: str, port: int) -> Any:
        line = Line(self.loop, factory())
        self.scribes.append(Scribe(line, self._answer, early=self._early))
        return line, line.protocol

    async def settle(self) -> None:
        """Let everything happen that can."""
        quiet, before = 0, -1
        while quiet < QUIET_TURNS:
            for scribe in self.scribes:
                scribe.look()
            await asyncio.sleep(0)
            now = len(self.client.written) + sum(len(scribe.line.written) for scribe in self.scribes)
            quiet = 0 if now != before else quiet + 1
            before = now

    async def converse(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.client.arrive(piece)
            await self.settle()
        everything = self.proxy.counters
        server = self.proxy.pools.by_name["web"].servers[0]
        assert not self.client.stuck or everything.in_flight, "nothing is going on and nothing is read"
        self.answered = self.client.written
        self.closed = self.client.closed or self.client.said_end
        self.client.arrive(None)
        self.client.close()
        await self.settle()
        assert (everything.in_flight, everything.retrying, server.in_flight) == (0, 0, 0)
        assert not self.proxy.connections
        for scribe in self.scribes:
            in_use = not scribe.line.closed
            assert in_use == (cast(IdleConnection, scribe.line.protocol) in server.idle), (
                "a connection that nobody owns"
            )
