"""A small fleet as processes, with a way of its own between each of them and whatever it needs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from chaos_clients import HOME, NAME, Clients
from chaos_edges import StubEdge
from chaos_processes import EdgeProcess, Node, Origin, observed
from ports import free_port
from relay import Relay
from typer.testing import CliRunner, Result

from gslb.cli import app
from gslb.demo.processes import Processes

NODES = ("ns1", "ns2", "ns3")
PLACES = {"west": [53.3, -6.3], "east": [39.0, -77.5], "asia": [1.3, 103.8]}
INTERVAL, FALL, LEASE = 0.3, 2, 3.0
START = 60.0
"""Seconds that a process may take to start on a busy machine."""

_ROOT = Path(__file__).resolve().parents[2]
_ORIGIN = _ROOT / "gslb" / "demo" / "origin.py"
_PYTHON = ["env", f"PYTHONPATH={_ROOT}", sys.executable, "-m"]

_RECORDS = "$TTL 300\n@ SOA ns1 h 1 2 3 4 60\n@ NS ns1\nns1 A 192.0.2.53\n"
_TIMES = {"interval": f"{INTERVAL}s", "timeout": "2s", "rise": 2, "fall": FALL}
CHECKS: Mapping[str, Mapping[str, object]] = {
    "edge": {"type": "http", "path": "/.gslb/health", **_TIMES},
    "origin": {"type": "http", "path": "/health", **_TIMES},
}


class ChaosFleet:
    """All of one story's processes and ways.

    redis: the port that ways to Redis lead to. url: of Redis; a port in it is that of the process's way.
    real: regions with an edge process and a server behind it; all others have stubs. sections: of the file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        redis: int | None = None,
        url: str = "redis://127.0.0.1:{port}/0",
        regions: tuple[str, ...] = tuple(HOME),
        nodes: tuple[str, ...] = NODES,
        real: tuple[str, ...] = (),
        **sections: Any,
    ) -> None:
        self.folder, self.regions = folder, regions
        self.kept = folder / "kept"
        self.edges = {region: StubEdge() for region in regions}
        self._url, self._redis, self._sections = url, redis, sections
        self._ended: list[str] = []
        self.processes = Processes(folder, lambda child: self._ended.append(child.name))
        self._ports = {name: (free_port(), free_port()) for name in nodes}
        self.nodes = {name: self._declare(name) for name in nodes}
        self.origins = {region: self._declare_origin(region) for region in real}
        self.real = {region: self._declare_edge(region) for region in real}
        self._relays: list[Relay] = []

    def __getitem__(self, node: str) -> Node:
        return self.nodes[node]

    def _declare(self, name: str) -> Node:
        port, admin = self._ports[name]
        ready = self.folder / f"{name}.ready"
        options = ["--name", name, "--config", str(self.file(name)), "--ready-file", str(ready)]
        child = self.processes.add(name, [*_PYTHON, "gslb", "dns", *options])
        to_redis = Relay(self._redis) if self._redis is not None else None
        to_edges = {region: Relay(edge.port) for region, edge in self.edges.items()}
        return Node(name, port, admin, child, ready, to_redis, to_edges)

    def _declare_origin(self, region: str) -> Origin:
        port = free_port()
        command = [sys.executable, "-I", "-S", str(_ORIGIN), region, "127.0.0.1", f"web:{port}"]
        return Origin(port, self.processes.add(f"origin-{region}", command))

    def _declare_edge(self, region: str) -> EdgeProcess:
        ready = self.folder / f"{region}.ready"
        options = ["--region", region, "--config", str(self.file(region)), "--ready-file", str(ready)]
        child = self.processes.add(region, [*_PYTHON, "edge", *options])
        to_redis = Relay(self._redis) if self._redis is not None else None
        return EdgeProcess(region, self.edges[region].port, free_port(), child, ready, to_redis)

    def file(self, process: str) -> Path:
        """The fleet's file as that process reads it: its ways are in it."""
        return self.folder / f"{process}.yaml"

    async def prepare(self) -> None:
        """Everything but the nodes: ways, stub edges, files."""
        for region, edge in self.edges.items():
            if region not in self.real:
                await edge.rise()
        probed = {region: edge.port for region, edge in self.edges.items()}
        for node in self.nodes.values():
            await self._open(node.to_redis, *node.to_edges.values())
            self.write(node.name, node.to_redis, {name: way.port for name, way in node.to_edges.items()})
        for real in self.real.values():
            await self._open(real.to_redis)
            self.write(real.region, real.to_redis, probed)
        # Operators have no way that could be cut.
        self.write("operator", None, probed)

    def use_redis(self, url: str) -> None:
        """Have it in every file: before anything is started."""
        self._url = url
        for node in self.nodes.values():
            self.write(node.name, node.to_redis, {name: way.port for name, way in node.to_edges.items()})
        self.write("operator", None, {region: edge.port for region, edge in self.edges.items()})

    async def _open(self, *relays: Relay | None) -> None:
        for relay in relays:
            if relay is not None:
                self._relays.append(relay)
                await relay.open()

    def write(self, process: str, to_redis: Relay | None, probes: Mapping[str, int], **sections: Any) -> None:
        """A process's own copy of the file. probes: the ports where it probes the regions."""
        port = self._redis if to_redis is None else to_redis.port
        document = self.document(self._url.format(port=port), probes) | self._sections | sections
        # A value in JSON is one in YAML as well.
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in document.items())
        self.file(process).write_text(text)

    def document(self, url: str, probes: Mapping[str, int]) -> dict[str, Any]:
        nodes = {
            name: {"listen": [f"127.0.0.1:{port}"], "admin": f"127.0.0.1:{admin}"}
            for name, (port, admin) in self._ports.items()
        }
        networks = [
            {
                "network": f"{HOME[region][0]}/16",
                "latitude": PLACES[region][0],
                "longitude": PLACES[region][1],
            }
            for region in self.regions
        ]
        return {
            "redis": {"url": url, "poll": "300ms", "lease": f"{LEASE}s", "timeout": "1s"},
            "geo": {"overrides": networks},
            "dns": {
                "initial_round": "2s",
                "nodes": nodes,
                "rate_limit": {"exempt": ["127.0.0.0/8"]},
                "state": str(self.kept),
            },
            "zones": {"shop.test": {"records": _RECORDS}},
            "checks": CHECKS if self.real else {"edge": CHECKS["edge"]},
            "regions": {region: self._region(region, probes[region]) for region in self.regions},
            "services": {NAME: {"policy": "nearest", "ttl": {"wanted": "30s", "minimum": "1s"}}},
            "pools": {"web": {"check": "origin"}} if self.real else {},
            "routes": [{"host": NAME, "path": "/", "pool": "web"}] if self.real else [],
            "edge": {"report_interval": "300ms", "lame_duck": "0s"},
        }

    def _region(self, region: str, probe: int) -> dict[str, Any]:
        edge: dict[str, Any] = {"addresses": [HOME[region][1]], "probe": f"127.0.0.1:{probe}"}
        entry: dict[str, Any] = {"coordinates": PLACES[region], "check": "edge", "edges": [edge]}
        if region in self.real:
            here = self.real[region]
            edge |= {"listen": [f"127.0.0.1:{here.port}"], "admin": f"127.0.0.1:{here.admin}"}
            entry["servers"] = {"web": [f"127.0.0.1:{self.origins[region].port}"]}
        return entry

    async def start(self, *names: str) -> None:
        """Start these nodes and these regions' edges, or everything; they answer when this returns."""
        known: dict[str, Node | EdgeProcess] = {**self.real, **self.nodes}
        for origin in () if names else self.origins.values():
            await self.processes.start(origin.child)
        started = [known[name] for name in names or known]
        for each in started:
            each.ready.unlink(missing_ok=True)
            await self.processes.start(each.child)
        async with asyncio.timeout(START):
            for each in started:
                while not each.ready.exists():
                    assert each.child.running, each.child.last_words(30)
                    await asyncio.sleep(0.02)

    def clients(self, *nodes: str, pause: float | None = None) -> Clients:
        """Of these nodes, or of all."""
        ports = {name: self.nodes[name].port for name in nodes or self.nodes}
        return Clients(ports, self.regions) if pause is None else Clients(ports, self.regions, pause=pause)

    async def all_linked(self, linked: bool = True) -> None:
        for node in self.nodes.values():
            await node.until_linked(linked)

    async def all_well(self) -> None:
        """Until every node sees every region up, and hears so from all others."""
        for node in self.nodes.values():
            await node.until(lambda state: all(self._all_see_up(state, region) for region in self.regions))

    async def settled(self) -> None:
        """Until all is well; what any node has found down before, while all of them started, is forgotten."""
        await self.all_well()
        for node in self.nodes.values():
            node.told_before = len(node.lines("region"))

    def _all_see_up(self, state: dict[str, Any], region: str) -> bool:
        return observed(state, region) == ["up"] * len(self.nodes)

    async def all_hear_all(self) -> None:
        """Until every node hears every node's observations."""
        for node in self.nodes.values():
            await node.until_observers(*self.nodes)

    def kept_by(self, node: str) -> str:
        """What lies on disk of what a node knows, for its next start."""
        return "".join(file.read_text() for file in self.kept.glob(f"{node}-*.json"))

    def fallen(self) -> dict[str, list[tuple[str, str]]]:
        """Of each node that has found any region down, which and why."""
        return {name: fallen for name, node in self.nodes.items() if (fallen := node.fallen())}

    async def attempt(self, *arguments: str) -> Result:
        """`gslb …` as an operator types it, whatever comes of it."""
        words = [*arguments, "--config", str(self.file("operator"))]
        return await asyncio.to_thread(CliRunner().invoke, app, words)

    async def command(self, *arguments: str) -> str:
        result = await self.attempt(*arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    async def close(self) -> None:
        """End everything at once: a story is over when it has seen what it was to see."""
        for child in self.processes.children:
            child.kill()
        await self.processes.stop()
        for relay in self._relays:
            await relay.refuse()
        for edge in self.edges.values():
            edge.fall()


MakeFleet = Callable[..., Awaitable[ChaosFleet]]
"""Takes the arguments of ChaosFleet, but for the folder; its nodes do not run yet."""
