"""The processes of a story's fleet: what they say of themselves, and the ways they have to others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos_clients import WAIT
from relay import Relay

from gslb.demo.processes import Child


@dataclass(frozen=True)
class Origin:
    """A server behind a real edge."""

    port: int
    child: Child


@dataclass(frozen=True)
class EdgeProcess:
    """A real edge, and its way to Redis."""

    region: str
    port: int
    admin: int
    child: Child
    ready: Path
    to_redis: Relay | None

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What it has logged of that name."""
        return lines(self.child, event)


@dataclass
class Node:
    """A DNS node, and its ways to Redis and to each region's edge.

    told_before: lines about regions that it had logged when the fleet had settled.
    """

    name: str
    port: int
    admin: int
    child: Child
    ready: Path
    to_redis: Relay | None
    to_edges: Mapping[str, Relay] = field(default_factory=dict)
    told_before: int = 0

    async def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(await get(self.admin, "/v1/state"))
        return state

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Until the node's state is as wanted: that state."""
        async with asyncio.timeout(WAIT):
            while not wanted(state := await self.state()):
                await asyncio.sleep(0.03)
        return state

    async def until_linked(self, linked: bool = True) -> dict[str, Any]:
        return await self.until(lambda state: state["store"]["connected"] is linked)

    async def until_observers(self, *names: str) -> dict[str, Any]:
        return await self.until(lambda state: state["observers"] == list(names))

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What it has logged of that name."""
        return lines(self.child, event)

    def fallen(self) -> list[tuple[str, str]]:
        """Regions that it has found down since the fleet had settled, with the reason."""
        told = self.lines("region")[self.told_before :]
        return [(line["region"], line["reason"]) for line in told if line["verdict"] == "down"]

    def kill(self) -> None:
        """kill -9"""
        self.child.kill()

    async def gone(self) -> None:
        assert self.child.process is not None
        await self.child.process.wait()


def lines(child: Child, event: str) -> list[dict[str, Any]]:
    """What a process has logged of that name, over all its lives."""
    said = [json.loads(line) for line in child.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in said if line["event"] == event]


def observed(state: dict[str, Any], region: str) -> list[str]:
    """What each observer sees of a region's only address, in order of their names."""
    entry = next(each for each in state["regions"] if each["region"] == region)
    return [each["verdict"] for each in entry["targets"][0]["observations"]]


async def get(port: int, path: str, host: str = "127.0.0.1") -> bytes:
    """The body of what an admin side or an edge says."""
    async with asyncio.timeout(WAIT):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            return (await reader.read()).partition(b"\r\n\r\n")[2]
        finally:
            writer.close()
