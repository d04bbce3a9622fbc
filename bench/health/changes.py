"""What is changed, and how long it takes until every DNS node answers by it."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

from chaos_clients import Clients
from chaos_fleet import CHECKS, FALL, INTERVAL, ChaosFleet
from redis_process import RedisServer

from gslb.clock import SystemClock
from gslb.config import load
from gslb.demo.redis_server import find_server_binary
from gslb.fleet import Fleet
from gslb.store import oneshot
from gslb.world import Override, OverrideKind

LOST, INSTEAD = "asia", "west"
"""The region that has a real edge, and where its clients are sent without it."""
PAUSE = 0.004
"""Seconds between two questions to one node: what is measured is no finer."""


@dataclass
class Stage:
    """A fleet in which everything is well, and clients who ask for the region that is to be lost."""

    fleet: ChaosFleet
    clients: Clients
    loaded: Fleet
    random: random.Random = field(default_factory=lambda: random.Random(1))

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator[Self]:
        sockets = Path(tempfile.mkdtemp(prefix="gslb-health-"))
        redis = RedisServer(find_server_binary(), sockets)
        checks = {name: {**check, "damping": "off"} for name, check in CHECKS.items()}
        fleet = ChaosFleet(folder, redis=redis.port, real=(LOST,), checks=checks)
        try:
            await fleet.prepare()
            await fleet.start()
            await fleet.settled()
            ports = {name: node.port for name, node in fleet.nodes.items()}
            with Clients(ports, [LOST], pause=PAUSE) as clients:
                yield cls(fleet, clients, load(fleet.file("operator")))
        finally:
            await fleet.close()
            redis.kill()
            shutil.rmtree(sockets, ignore_errors=True)

    async def well(self) -> None:
        """Everybody is sent home, and some random part of an interval has passed since."""
        await self.clients.until(LOST, LOST)
        await asyncio.sleep(self.random.uniform(1, 2) * INTERVAL)

    async def changed(self) -> float:
        """The moment (monotonic) when the last node has sent somebody elsewhere."""
        return await self.clients.until(LOST, INSTEAD)


async def kill_edge(stage: Stage) -> float:
    await stage.well()
    edge = stage.fleet.real[LOST]
    began = time.monotonic()
    edge.child.kill()
    seconds = await stage.changed() - began
    await stage.fleet.start(LOST)
    return seconds


async def kill_servers(stage: Stage) -> float:
    """From the moment that the edge knows of it: until then it is the edge's own check that counts."""
    await stage.well()
    origin, edge = stage.fleet.origins[LOST], stage.fleet.real[LOST]
    known = len(edge.lines("server down"))
    origin.child.kill()
    changed = await stage.changed()
    # The log tells the time of day, to the microsecond.
    told = datetime.fromisoformat(edge.lines("server down")[known]["timestamp"])
    seconds = changed - (told.timestamp() - time.time() + time.monotonic())
    await stage.fleet.processes.start(origin.child)
    return seconds


async def override(stage: Stage) -> float:
    await stage.well()
    clock = SystemClock()
    word = Override(LOST, OverrideKind.DRAIN, "bench", "measured", clock.now())
    began = time.monotonic()
    await oneshot.set_override(stage.loaded, clock, word)
    seconds = await stage.changed() - began
    await oneshot.clear_override(stage.loaded, clock, LOST, "bench")
    return seconds


@dataclass(frozen=True)
class Change:
    """bound: seconds that it may take."""

    what: str
    since: str
    bound: float
    once: Callable[[Stage], Awaitable[float]]


CHANGES = (
    Change("an edge is killed", "kill -9", INTERVAL * FALL + 1.0, kill_edge),
    Change("an edge's last server is lost", "the edge's verdict", 0.3, kill_servers),
    Change("an operator drains a region", "the command's first step", 0.3, override),
)
