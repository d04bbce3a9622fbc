"""Reads and writes the shared state once, for commands that come and go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as redis

from gslb.clock import Clock
from gslb.errors import StoreError
from gslb.fleet import Fleet
from gslb.store.connect import UNREACHABLE, connect, disconnect, reason, redact
from gslb.store.events import read_events
from gslb.store.ledger import Ledger
from gslb.store.override import checked, delete_override, write_override
from gslb.store.watch import read_everything
from gslb.world import Override, World


async def read_world(fleet: Fleet, clock: Clock) -> World:
    """The world as Redis has it now; raises StoreError when it cannot be read."""
    async with _client(fleet, "read") as client:
        heard = await read_everything(client, fleet)
    ledger = Ledger(fleet, "", clock)
    for observation, lease in heard.observations:
        ledger.hear(observation, lease)
    for report, lease in heard.reports:
        ledger.hear_report(report, lease)
    for region, override in heard.overrides.items():
        ledger.hear_override(region, override)
    ledger.read_in_full()
    ledger.refold()
    return ledger.world


async def set_override(fleet: Fleet, clock: Clock, override: Override) -> None:
    """Put an override in force; raises StoreError if it cannot be."""
    override = checked(override, fleet, clock.now())
    async with _client(fleet, "written") as client:
        await write_override(client, override, clock.now())


async def clear_override(fleet: Fleet, clock: Clock, region: str, by: str = "") -> bool:
    """End an override; False if there was none. Raises StoreError when Redis cannot be reached."""
    async with _client(fleet, "written") as client:
        return await delete_override(client, region, by, clock.now())


async def read_history(fleet: Fleet, count: int = 100) -> list[dict[str, str]]:
    """The newest events, the newest first: at, kind, region, text. Raises StoreError likewise."""
    async with _client(fleet, "read") as client:
        return await read_events(client, count)


@asynccontextmanager
async def _client(fleet: Fleet, done: str) -> AsyncIterator[redis.Redis]:
    client = connect(fleet.redis)
    try:
        yield client
    except UNREACHABLE as error:
        url = redact(fleet.redis.url.reveal()) if fleet.redis.url else ""
        raise StoreError(
            f"the shared state at {url} cannot be {done}: {reason(error)}",
            hint="is Redis running there, and is redis.url in the fleet file right?",
        ) from None
    finally:
        await disconnect(client)
