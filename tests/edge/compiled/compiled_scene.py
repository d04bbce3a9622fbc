"""What tests of the compiled path over sockets have in common: which path serves, and servers that wait."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from edge_stage import Handler, Stage, read_message, until

from edge.proxy.downstream import Downstream
from edge.proxy.proxy import ClientConnection, Proxy
from gslb.fleet import SocketAddress

if TYPE_CHECKING:
    from edge.compiled.client import Client
else:
    Client = pytest.importorskip("edge.compiled.client", reason="it takes a C compiler").Client

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
ODD = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
"""The compiled path leaves it to the general one before it is begun."""


def only(proxy: Proxy) -> ClientConnection:
    (connection,) = proxy.connections
    return connection


def compiled_ones(proxy: Proxy) -> list[Client]:
    return [each for each in proxy.connections if isinstance(each, Client)]


async def back(proxy: Proxy, hand_overs: int | None = None) -> Client:
    """The only connection, once it is the compiled path's again. hand_overs: of it until now."""
    await until(lambda: len(compiled_ones(proxy)) == len(proxy.connections) == 1)
    (client,) = compiled_ones(proxy)
    assert hand_overs is None or client.hand_overs == hand_overs
    return client


async def handed_over(proxy: Proxy) -> Downstream:
    """The only connection, once it is the general path's."""
    await until(lambda: any(isinstance(each, Downstream) for each in proxy.connections))
    connection = only(proxy)
    assert isinstance(connection, Downstream)
    return connection


def at_rest(proxy: Proxy) -> bool:
    """Nothing is under way, as far as anything counts it."""
    counters = proxy.counters
    if counters.in_flight or counters.retrying:
        return False
    return all(not pool.in_flight and not pool.waiting for pool in proxy.pools)


@contextlib.contextmanager
def refusing_address() -> Iterator[SocketAddress]:
    """It refuses connections for as long as it is held: bound, and not listening."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield SocketAddress(*held.getsockname())


@contextlib.contextmanager
def deaf_address() -> Iterator[SocketAddress]:
    """Connecting to it takes for ever: a listener whose queue is full drops further SYNs."""
    with socket.socket() as full, contextlib.ExitStack() as held:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield SocketAddress(*full.getsockname())


class Pausing:
    """A server that answers every request in two parts, the second of them when it is told to.

    asked: requests so far.
    """

    def __init__(self, first: bytes, second: bytes = b"", *, ends: bool = False) -> None:
        self.asked = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.going_on = asyncio.Event()
        self._first, self._second, self._ends = first, second, ends

    @property
    def handler(self) -> Handler:
        return self._serve

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        while True:
            await read_message(reader)
            self.asked += 1
            writer.write(self._first)
            await self.going_on.wait()
            writer.write(self._second)
            if self._ends:
                return

    def reset(self) -> None:
        """All its connections."""
        for writer in self.writers:
            reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection so that the other side reads an error instead of an end."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


class Clock:
    """The time as a proxy sees it, which a test may set forward; the proxy has to tick on its own."""

    def __init__(self, proxy: Proxy) -> None:
        self._ahead = 0.0
        real = proxy.time
        proxy.time = lambda: real() + self._ahead

    def forward(self, seconds: float) -> None:
        self._ahead += seconds


async def ask_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, *, head_only: bool = False
) -> int:
    """The status of the next response on a connection."""
    writer.write(request)
    return (await read_message(reader, head_only=head_only)).status


def compiled(stage: Stage) -> Stage:
    """The same one, whatever the tests are otherwise run by."""
    stage.compiled = True
    return stage
