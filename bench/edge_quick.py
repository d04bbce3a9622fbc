"""How much CPU does one edge spend on a small keep-alive request? A quick look, not a verdict.

Run from the checkout: `python bench/edge_quick.py [requests]`. Prints requests per second (which depends on
whatever shares the machine) and CPU microseconds of the edge's process per request, beside the speed of
plain Python on this machine now, by which to compare two runs.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

CLIENTS = 32
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nContent-Type: text/plain\r\n\r\nhello world"
REQUEST = (
    b"GET /products/1?x=1 HTTP/1.1\r\nHost: www.shop.example\r\nUser-Agent: bench\r\nAccept: */*\r\n"
    + b"".join(b"X-Header-%d: some value of header %d\r\n" % (number, number) for number in range(9))
    + b"\r\n"
)
FLEET = """\
regions:
  here:
    coordinates: {{latitude: 0, longitude: 0}}
    edges: [{{addresses: [127.0.0.1], port: {port}}}]
    servers: {{web: ["127.0.0.1:{origin}"]}}
pools: {{web: {{method: round_robin}}}}
routes: [{{path: /, pool: web}}]
"""


class OriginConnection(asyncio.Protocol):
    """Answers whatever ends in an empty line, at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._pending = b""

    def data_received(self, data: bytes) -> None:
        self._pending += data
        requests = self._pending.count(b"\r\n\r\n")
        if requests:
            self._pending = self._pending.rpartition(b"\r\n\r\n")[2]
            self._transport.write(RESPONSE * requests)  # type: ignore[attr-defined]


class LoadConnection(asyncio.Protocol):
    """Asks again as soon as it is answered, until `left` requests are used up."""

    left = 0

    def __init__(self, done: asyncio.Future[None]) -> None:
        self._done = done
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(REQUEST)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._pending += data
        if not self._pending.endswith(b"hello world"):
            return
        if not self._pending.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"the edge answered {self._pending[:60]!r}")
        self._pending = b""
        LoadConnection.left -= 1
        if LoadConnection.left > 0:
            self._transport.write(REQUEST)  # type: ignore[attr-defined]
        elif not self._done.done():
            self._done.set_result(None)


def serve_origin(told: Connection) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(OriginConnection, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


def serve_edge(config: str, ready: int) -> None:
    from edge.cli import main

    sys.argv = ["gslb-edge", "--region", "here", "--config", config, "--ready-fd", str(ready)]
    main()


async def load(port: int, requests: int) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    LoadConnection.left = requests
    for _ in range(CLIENTS):
        await loop.create_connection(lambda: LoadConnection(done), "127.0.0.1", port)
    await done


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def python_nanoseconds() -> float:
    """CPU time of one turn of a trivial loop: 30 to 40 on an idle machine of 2024."""
    turns, total = 2_000_000, 0
    began = time.process_time()
    for number in range(turns):
        total += number
    return (time.process_time() - began) / turns * 1e9


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    processes = multiprocessing.get_context("fork")
    told, telling = processes.Pipe(duplex=False)
    origin = processes.Process(target=serve_origin, args=(telling,), daemon=True)
    origin.start()
    port = 18080
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        config.write(FLEET.format(port=port, origin=told.recv()))
        config.flush()
        ready, write = os.pipe()
        edge = processes.Process(target=serve_edge, args=(config.name, write), daemon=True)
        edge.start()
        os.close(write)
        if not os.read(ready, 100):
            raise SystemExit("the edge did not start")
    assert edge.pid is not None
    uvloop.run(load(port, requests // 10))
    before, began = cpu_seconds(edge.pid), time.perf_counter()
    uvloop.run(load(port, requests))
    rate = requests / (time.perf_counter() - began)
    each = (cpu_seconds(edge.pid) - before) / requests * 1e6
    print(
        f"{rate:.0f} requests/s, {each:.0f} µs of the edge's CPU each; Python {python_nanoseconds():.0f} ns"
    )
    edge.terminate()
    edge.join()
    origin.terminate()


if __name__ == "__main__":
    main()
