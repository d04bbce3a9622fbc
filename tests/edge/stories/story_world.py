"""Edges and servers as processes of one small fleet, which stories kill, stop and start again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_stage import read_message
from ports import free_port
from typer.testing import CliRunner

from gslb.cli import app
from gslb.demo.processes import Child, Processes

WEST, EAST = "eu-west", "us-east"
PLACES = {WEST: [53.35, -6.26], EAST: [39.04, -77.49]}
CHECK = {"interval": "200ms", "timeout": "1s", "rise": 2, "fall": 2}
_ROOT = Path(__file__).resolve().parents[3]
_COMMAND = ["env", f"PYTHONPATH={_ROOT}", sys.executable, "-m", "edge"]
_ORIGIN = _ROOT / "gslb" / "demo" / "origin.py"
_BOUNDED = Path(__file__).with_name("bounded_origin.py")


@dataclass(frozen=True)
class Origin:
    """A server, in its own process, which keeps its port over restarts."""

    port: int
    child: Child

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def target(self, pool: str = "web") -> str:
        return f"{WEST}/{pool}/{self.name}"

    async def kill(self) -> None:
        """kill -9; returns when it is gone."""
        assert self.child.process is not None
        self.child.kill()
        await self.child.process.wait()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.child.pid, number)


@dataclass(frozen=True)
class Edge:
    """The edge of a region, with its admin side."""

    region: str
    port: int
    admin: int

    async def state(self) -> dict[str, Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.admin)
        writer.write(b"GET /v1/state HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            return dict(json.loads((await read_message(reader)).body))
        finally:
            writer.close()

    async def server(self, origin: Origin, pool: str = "web") -> dict[str, Any]:
        """What the edge says of a server."""
        servers = (await self.state())["pools"][pool]["servers"]
        return next(dict(each) for each in servers if each["address"] == origin.name)

    async def until_server(self, origin: Origin, **wanted: object) -> dict[str, Any]:
        """Until the edge says this of a server: what it says then."""
        async with asyncio.timeout(30):
            while True:
                server = await self.server(origin)
                if all(server[key] == value for key, value in wanted.items()):
                    return server
                await asyncio.sleep(0.02)


class World:
    """All of one story's processes, and their file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "regions.yaml"
        self._folder = folder
        self._ended: list[str] = []
        self._processes = Processes(folder, lambda child: self._ended.append(child.name))

    async def origins(self, count: int, *bounded: object) -> list[Origin]:
        """Servers that answer. bounded: how many requests each serves at a time, and the seconds of one."""
        made = [self._origin(*bounded) for _ in range(count)]
        await self.start(*made)
        return made

    def _origin(self, *bounded: object) -> Origin:
        port = free_port()
        address = ["127.0.0.1", f"web:{port}"]
        arguments = [_BOUNDED, port, *bounded] if bounded else [_ORIGIN, WEST, *address]
        command = [sys.executable, "-I", "-S", *(str(each) for each in arguments)]
        return Origin(port, self._processes.add(f"origin-{port}", command))

    async def start(self, *origins: Origin) -> None:
        """Start servers that do not run; they answer when this returns."""
        for origin in origins:
            await self._processes.start(origin.child)
        for origin in origins:
            await _listens(origin)

    async def edges(
        self,
        servers: Mapping[str, Sequence[Origin]],
        pools: Mapping[str, Mapping[str, object]],
        *,
        redis: str | None = None,
        **edge: object,
    ) -> list[Edge]:
        """One for each region of `servers`, all serving. Each pool has the region's servers, and takes what
        begins with its name. edge: what the file's section `edge` says."""
        made = [Edge(region, free_port(), free_port()) for region in servers]
        document: dict[str, Any] = {
            "checks": {"tcp": {"type": "tcp", **CHECK}, "http": {"type": "http", "path": "/health", **CHECK}},
            "regions": {each.region: _region(each, servers[each.region], pools) for each in made},
            "pools": {name: {"check": "http", **settings} for name, settings in pools.items()},
            "routes": [{"path": f"/{name}", "pool": name} for name in pools],
            "edge": {"lame_duck": "0s", "drain_timeout": "1s", "report_interval": "200ms", **edge},
        }
        if redis is not None:
            document["redis"] = {"url": redis, "poll": "200ms"}
        # A value in JSON is one in YAML as well.
        self.file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in document.items()))
        await asyncio.gather(*(self._serve(each) for each in made))
        return made

    async def _serve(self, edge: Edge) -> None:
        ready = self._folder / f"ready-{edge.region}"
        options = ["--region", edge.region, "--config", str(self.file), "--ready-file", str(ready)]
        child = self._processes.add(edge.region, [*_COMMAND, *options])
        await self._processes.start(child)
        async with asyncio.timeout(60):
            while not ready.exists():
                assert child.running, child.last_words(30)
                await asyncio.sleep(0.02)

    async def command(self, *arguments: str) -> None:
        """`gslb server …` as an operator types it."""
        words = ["server", *arguments, "--config", str(self.file)]
        result = await asyncio.to_thread(CliRunner().invoke, app, words)
        assert result.exit_code == 0, (result.output, result.exception)

    async def close(self) -> None:
        for child in self._processes.children:
            if child.running:
                os.kill(child.pid, signal.SIGCONT)
        await self._processes.stop()


def _region(
    edge: Edge, servers: Sequence[Origin], pools: Mapping[str, Mapping[str, object]]
) -> dict[str, object]:
    here = f"127.0.0.1:{edge.port}"
    return {
        "coordinates": PLACES[edge.region],
        "edges": [
            {
                "addresses": [f"192.0.2.{len(edge.region)}"],
                "listen": [here],
                "peer": here,
                "admin": f"127.0.0.1:{edge.admin}",
            }
        ],
        "servers": {name: [origin.name for origin in servers] for name in pools},
    }


async def _listens(origin: Origin) -> None:
    async with asyncio.timeout(30):
        while True:
            assert origin.child.running, origin.child.last_words()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", origin.port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return
