"""Connections in every state that the compiled path knows, and their way on from there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass

from compiled_scene import GET, Pausing, at_rest, compiled_ones, deaf_address, only
from edge_stage import Stage, make_fleet, ok, read_head, read_message, until

from edge.proxy.proxy import Proxy
from gslb.fleet import Route

BIG = bytes(range(251)) * 120000  # 30 MB: more than the kernel keeps for two connections
TAKEN_WHOLE = BIG[:200_000]
LAST = GET.replace(b"Host", b"Connection: close\r\nHost")


@dataclass
class Scene:
    """A connection in one state. server: what it is at."""

    proxy: Proxy
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: Pausing

    async def gone(self) -> None:
        await until(lambda: not self.proxy.connections and at_rest(self.proxy))


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CODED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
RESPONSES = {
    "connecting": (b"", b""),
    "waiting": (b"", ok()),
    "in a body": (HEAD % 5 + b"he", b"llo"),
    "in a chunk": (CODED + b"5\r\nhe", b"llo\r\n0\r\n\r\n"),
    "in a trailer": (CODED + b"5\r\nhello\r\n0\r\nX-T: ", b"v\r\n\r\n"),
    "not read": (HEAD % len(BIG) + BIG[:-5], BIG[-5:]),
}
"""The states in which a request is at a server."""
QUIET = ("idle", "in a request", "lingering")
BEGUN = ("in a body", "in a chunk", "in a trailer", "not read")


async def bring_to(state: str, stage: Stage, held: contextlib.ExitStack) -> Scene:
    server = Pausing(*RESPONSES.get(state, (ok(), b"")))
    origin = await stage.origin(server.handler)
    address = held.enter_context(deaf_address()) if state == "connecting" else origin.address
    proxy = await stage.serve(make_fleet({"web": [address]}, routes=[Route(None, "/", "web")]))
    reader, writer = await stage.connect()
    scene = Scene(proxy, reader, writer, server)
    if state in QUIET:
        server.going_on.set()
    if state == "in a request":
        writer.write(GET[:-1])
        await until(lambda: bool(proxy.connections) and only(proxy).busy)
        return scene
    writer.write(LAST if state == "lingering" else GET)
    if state in QUIET:
        await read_message(reader)
        assert compiled_ones(proxy)
    elif state == "connecting":
        await until(lambda: proxy.pools.by_name["web"].in_flight == 1)
    elif state == "not read":
        await until(lambda: bool(compiled_ones(proxy)) and compiled_ones(proxy)[0].write_paused)
    else:
        await until(lambda: server.asked == 1)
        if state != "waiting":
            await read_head(reader)
    assert compiled_ones(proxy)
    return scene


async def finish(scene: Scene, state: str) -> str | None:
    """Let what is under way come to its end; what its response says of the connection."""
    scene.server.going_on.set()
    if state == "in a request":
        scene.writer.write(GET[-1:])
    if state in ("in a request", "waiting"):
        response = await read_message(scene.reader)
        assert response.body == b"hello"
        return response.get("connection")
    if state == "not read":
        assert (await read_message(scene.reader)).body == BIG
    elif state == "in a trailer":
        assert (await scene.reader.readexactly(23)).endswith(b"X-T: v\r\n\r\n")
    elif state == "in a body":
        assert await scene.reader.readexactly(5) == b"hello"
    elif state == "in a chunk":
        assert (await scene.reader.readexactly(20)).endswith(b"llo\r\n0\r\n\r\n")
    elif state == "lingering":
        scene.writer.close()
    return None


# Slow readers.


def narrow(client: socket.socket) -> None:
    """Have the edge's end of a connection take little at once; both ends are in this process."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as other:
            if other.getpeername() == client.getsockname():
                other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


async def read_until_served(
    stage: Stage, held: contextlib.ExitStack, proxy: Proxy
) -> tuple[socket.socket, bytearray]:
    """A client that has not read all of a response when the edge has."""
    client = held.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", stage.port))
    client.setblocking(False)
    await until(lambda: bool(proxy.connections))
    narrow(client)
    client.sendall(GET)
    data = bytearray()
    await until(lambda: proxy.counters.responses == {200: 1})
    while not at_rest(proxy):
        with contextlib.suppress(BlockingIOError):
            data += client.recv(1024)
        await asyncio.sleep(0)
    assert only(proxy).busy, "the end of the response has gone out already"
    return client, data


async def read_all(client: socket.socket, data: bytearray) -> bytearray:
    """Until the edge ends the connection."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        while piece := await loop.sock_recv(client, 65536):
            data += piece
    return data
