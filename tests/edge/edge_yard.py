"""A proxy between many clients and servers, all of them wires: a test decides what happens, and when."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from edge_bench import Wire
from edge_stage import REGION, make_fleet

from edge.pool import Pools
from edge.proxy.proxy import Proxy
from gslb.fleet import SocketAddress

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_SENT = re.compile(rb"(\w+) /web HTTP/1\.1\r\n.*?\r\nX-Request-Id: (\w+)\r\n", re.DOTALL)


@dataclass(eq=False)
class Connecting:
    """A connection to the server `host` that is under way."""

    host: str
    outcome: asyncio.Future[None]


class Yard:
    """Servers of one pool, `a`, `b`, `c` and so on, some backups. now: what the proxy's clock shows."""

    def __init__(self, servers: str = "ab", *, backups: str = "", **settings: Any) -> None:
        declared = [(SocketAddress(name, 80), 1, name in backups) for name in servers]
        fleet = make_fleet({"web": declared}, **settings)
        region = fleet.regions[REGION]
        self.now = 0.0
        self.connecting: list[Connecting] = []
        self.wires: list[tuple[str, Wire]] = []
        self.clients: list[Wire] = []
        self._loop = asyncio.new_event_loop()
        loop = cast(asyncio.AbstractEventLoop, self)
        self.proxy = Proxy(fleet, region.edges[0], Pools(fleet, region), loop, compiled=False)
        self.pool = self.proxy.pools.by_name["web"]
        self.servers = {state.server.address.host: state for state in self.pool.servers}
        self._connected = self.proxy.protocol(self.proxy.entrance(region.edges[0].listen[0]))

    # What the proxy asks of its loop.

    def time(self) -> float:
        return self.now

    def create_task(self, work: Any) -> asyncio.Task[Any]:
        return self._loop.create_task(work)

    async def create_connection(
        self, made: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[Wire, asyncio.Protocol]:
        under_way = Connecting(host, self._loop.create_future())
        self.connecting.append(under_way)
        try:
            await under_way.outcome
        finally:
            self.connecting.remove(under_way)
        wire = Wire(made())
        self.wires.append((host, wire))
        return wire, wire.protocol

    # What a test does.

    def turn(self) -> None:
        """Let tasks go on until none can."""
        for _ in range(6):
            self._loop.run_until_complete(asyncio.sleep(0))

    def ask(self, request: bytes = b"GET /web HTTP/1.1\r\nHost: a\r\n\r\n") -> Wire:
        """A new client sends a request."""
        client = Wire(self._connected(None))
        self.clients.append(client)
        client.protocol.data_received(request)
        self.turn()
        return client

    def send(self, client: Wire, data: bytes) -> None:
        """More comes from a client."""
        client.protocol.data_received(data)
        self.turn()

    def connect(self, host: str) -> Wire:
        """The oldest connection to `host` that is under way succeeds."""
        self.settle(next(each for each in self.connecting if each.host == host), None)
        return self.wires[-1][1]

    def refuse(self, host: str) -> None:
        self.settle(next(each for each in self.connecting if each.host == host), ConnectionRefusedError())

    def settle(self, under_way: Connecting, error: Exception | None) -> None:
        if error is None:
            under_way.outcome.set_result(None)
        else:
            under_way.outcome.set_exception(error)
        self.turn()

    def answer(self, wire: Wire, response: bytes) -> None:
        wire.protocol.data_received(response)
        self.turn()

    def end(self, wire: Wire) -> None:
        """The other side closes, as a transport tells of it."""
        wire.protocol.eof_received()
        wire.close()
        self.turn()

    def wait(self, seconds: float) -> None:
        """Time passes, and the proxy looks after its limits."""
        self.now += seconds
        for connection in tuple(self.proxy.connections):
            connection.check(self.now)
        self.proxy.pools.expire(self.now)
        self.turn()

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.turn()
        self.proxy.pools.close_idle()
        self._loop.close()

    # What a test looks at.

    def going_to(self) -> list[str]:
        """The servers that are being connected to."""
        return [each.host for each in self.connecting]

    def busy_wires(self, host: str) -> int:
        idle: list[object] = [*self.servers[host].idle]
        return sum(
            name == host and not wire.closed and wire.protocol not in idle for name, wire in self.wires
        )

    def sent(self) -> list[tuple[str, str, str]]:
        """Every request that a server was sent: host, method, id."""
        return [
            (host, method.decode(), request_id.decode())
            for host, wire in self.wires
            for method, request_id in _SENT.findall(wire.written)
        ]

    def all_over(self) -> bool:
        counters = self.proxy.counters
        nothing = (
            counters.in_flight == counters.retrying == self.pool.in_flight == len(self.pool.waiting) == 0
        )
        return nothing and not self.connecting


def statuses(client: Wire) -> list[int]:
    """Of all responses that a client got."""
    return [int(status) for status in _STATUS.findall(client.written)]
