"""Brings up a whole fleet as processes of this machine, in the order in which they need each other."""

from __future__ import annotations

import asyncio
import json
import shutil
import struct
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dnslib

from gslb.config import load
from gslb.demo.plan import Plan, make_plan
from gslb.demo.processes import Child, Processes
from gslb.demo.redis_server import find_server_binary, server_command
from gslb.errors import GslbError
from gslb.fleet import Edge, Fleet, Node, Server, SocketAddress

READY_TIMEOUT = 60.0
"""Seconds until everything must answer, on a slow machine too."""

_ORIGIN = Path(__file__).with_name("origin.py")
_LOOK_AGAIN = 0.05


@dataclass
class DemoWorld:
    """The processes of a fleet. `say` tells the person watching what happens."""

    config: Path
    say: Callable[[str], None]
    fleet: Fleet = field(init=False)
    plan: Plan = field(init=False)
    directory: Path = field(init=False)
    processes: Processes = field(init=False)
    redis: Child = field(init=False)
    nodes: list[tuple[Node, Child]] = field(default_factory=list)
    edges: list[tuple[Edge, Child]] = field(default_factory=list)
    servers: list[tuple[Server, Child]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.config = self.config.absolute()
        self.fleet = load(self.config)
        self.plan = make_plan(self.fleet, self.config)
        server = find_server_binary()
        self.directory = Path(tempfile.mkdtemp(prefix="gslb-demo-"))
        if self.plan.text is not None:
            moved = self.directory / "regions.yaml"
            moved.write_text(self.plan.text, encoding="utf-8")
            try:
                self.config, self.fleet = moved, load(moved)
            except GslbError:
                shutil.rmtree(self.directory)
                raise
        self.processes = Processes(self.directory, self._ended)
        self._declare(server)

    @property
    def redis_url(self) -> str:
        url = self.fleet.redis.url
        assert url is not None  # make_plan refuses a fleet without it
        return url.reveal()

    def _declare(self, redis_server: Path) -> None:
        add, python = self.processes.add, sys.executable
        url = urlsplit(self.redis_url)
        command = server_command(redis_server, port=url.port or 6379, directory=self.directory)
        self.redis = add("redis", command)
        for region in self.fleet.regions.values():
            for pool in region.servers.values():
                for server in pool:
                    pool_and_port = f"{server.pool}:{server.address.port}"
                    command = [python, "-I", "-S", str(_ORIGIN), region.name]
                    command += [server.address.host, pool_and_port]
                    self.servers.append((server, add(f"server-{server.target}", command)))
        config = ["--config", str(self.config)]
        for region in self.fleet.regions.values():
            for edge in region.edges:
                command = [python, "-m", "edge", "--region", region.name, "--edge", edge.name, *config]
                self.edges.append((edge, add(f"edge-{edge.name}", command)))
        for node in self.fleet.dns.nodes.values():
            command = [python, "-m", "gslb", "dns", "--name", node.name, *config]
            self.nodes.append((node, add(f"dns-{node.name}", command)))

    async def start(self) -> None:
        """Start everything and return when everything answers; raises GslbError when something does not."""
        if moved := self.plan.moved:
            wanted, bound = next(iter(moved.items()))
            self.say(f"{len(moved)} addresses of the file cannot be bound here (is another demo running?).")
            self.say(f"Free ports of 127.0.0.1 stand in, such as {bound} for {wanted}; see {self.config}.")
        await self.restart_ended()

    async def restart_ended(self) -> list[str]:
        """Start whatever does not run, and wait until all of it answers; returns the names.

        Raises GslbError when a process ends at once, or does not answer in READY_TIMEOUT seconds.
        """
        started: list[str] = []
        tiers = (
            ([self.redis, *(child for _, child in self.servers)], self._servers_answer),
            ([child for _, child in self.edges], self._edges_answer),
            ([child for _, child in self.nodes], self._nodes_answer),
        )
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                for children, answer in tiers:
                    ended = [child for child in children if not child.running]
                    await self._bring_up(ended, answer)
                    started += [child.name for child in ended]
        except TimeoutError:
            raise GslbError(f"not everything answers; the logs are in {self.directory}") from None
        return started

    async def stop(self, *, keep_logs: bool = False) -> None:
        """End every process, and remove what was written unless somebody is to look at it."""
        await self.processes.stop()
        if not keep_logs:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _ended(self, child: Child) -> None:
        self.say(f"{child.name} (pid {child.pid}) {child.ending()}")

    async def _bring_up(self, children: list[Child], answer: Callable[[], Awaitable[None]]) -> None:
        for child in children:
            await self.processes.start(child)
        waiting = asyncio.ensure_future(answer())
        try:
            while not waiting.done():
                for child in children:
                    if not child.running:
                        raise GslbError(f"{child.name} {child.ending()}", hint=child.last_words())
                await asyncio.wait([waiting], timeout=_LOOK_AGAIN)
            await waiting
        finally:
            waiting.cancel()

    async def _servers_answer(self) -> None:
        url = urlsplit(self.redis_url)
        await _until(SocketAddress("127.0.0.1", url.port or 6379), b"PING\r\n", b"+PONG")
        for server, _ in self.servers:
            await _until(server.address, b"GET /health HTTP/1.0\r\n\r\n", b"HTTP/1.1 200")

    async def _edges_answer(self) -> None:
        path = self.fleet.edge.health_path
        for edge, _ in self.edges:
            for address in edge.probe.values():
                request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
                await _until(address, request.encode(), b"HTTP/1.1 200")

    async def _nodes_answer(self) -> None:
        apex = next(iter(self.fleet.zones), ".")
        query = dnslib.DNSRecord.question(apex, "SOA").pack()
        for node, _ in self.nodes:
            if node.admin is not None:
                request = f"GET /healthz HTTP/1.1\r\nHost: {node.admin}\r\nConnection: close\r\n\r\n"
                await _until(node.admin, request.encode(), b"HTTP/1.1 200")
            for address in node.listen:
                await _until(address, struct.pack("!H", len(query)) + query, query[:2], skip=2)

    def ready_document(self) -> dict[str, Any]:
        """What scripts need to know: addresses, and the pid of the process to kill for each part."""
        node = self.nodes[0][0]
        return {
            "dns": str(node.listen[0]),
            "admin": f"http://{node.admin}" if node.admin is not None else None,
            "config": str(self.config),
            "redis": {"url": self.redis_url, "pid": self.redis.pid},
            "nodes": [{"name": node.name, "pid": child.pid} for node, child in self.nodes],
            "edges": [
                {"region": edge.region, "address": str(next(iter(edge.listen))), "pid": child.pid}
                for edge, child in self.edges
            ],
            "servers": [
                {
                    "region": server.region,
                    "pool": server.pool,
                    "address": str(server.address),
                    "pid": child.pid,
                }
                for server, child in self.servers
            ],
        }

    def write_ready_file(self, path: Path) -> None:
        """Write the document whole or not at all, so that who waits for it never reads a half."""
        draft = path.with_name(f".{path.name}.new")
        draft.write_text(json.dumps(self.ready_document(), indent=2) + "\n", encoding="utf-8")
        draft.replace(path)


async def _until(address: SocketAddress, request: bytes, expected: bytes, *, skip: int = 0) -> None:
    """Ask again and again, over TCP, until the answer begins (after `skip` bytes) as expected."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(address.host, address.port)
            try:
                writer.write(request)
                async with asyncio.timeout(2):
                    answer = await reader.readexactly(skip + len(expected))
                if answer[skip:] == expected:
                    return
            finally:
                writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        await asyncio.sleep(_LOOK_AGAIN)
