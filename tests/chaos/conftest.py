"""A Redis and a fleet for each story, gone after it however it went."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from chaos_fleet import ChaosFleet, MakeFleet
from redis_process import RedisServer

from gslb.demo.redis_server import find_server_binary


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """One of the story's own, which it may do to as it likes."""
    # Not pytest's own temporary directory: the path of a Unix socket must stay under 108 bytes.
    directory = Path(tempfile.mkdtemp(prefix="gslb-chaos-"))
    server = RedisServer(find_server_binary(), directory)
    try:
        yield server
    finally:
        server.resume()
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest_asyncio.fixture
async def make_fleet(tmp_path: Path, redis: RedisServer) -> AsyncIterator[MakeFleet]:
    """Makes a fleet whose nodes do not run yet."""
    made: list[ChaosFleet] = []

    async def make(**settings: Any) -> ChaosFleet:
        fleet = ChaosFleet(tmp_path, **{"redis": redis.port, **settings})
        made.append(fleet)
        await fleet.prepare()
        return fleet

    yield make
    for fleet in made:
        await fleet.close()


@pytest_asyncio.fixture
async def fleet(make_fleet: MakeFleet) -> ChaosFleet:
    """Three nodes that answer, linked with Redis and with each other, and all is well."""
    made = await make_fleet()
    await made.start()
    await made.settled()
    return made
