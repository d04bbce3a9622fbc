"""Reads and writes the shared state once, for commands that come and go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import redis.asyncio as redis

from gslb.clock import Clock
from gslb.errors import StoreError
from gslb.fleet import Fleet
from gslb.server_change import ServerChange
from gslb.store import keys
from gslb.store.codec_servers import SAYING
from gslb.store.connect import UNREACHABLE, connect, disconnect, reason, redact
from gslb.store.events import read_events
from gslb.store.ledger import Ledger
from gslb.store.override import checked, delete_override, write_override
from gslb.store.server_changes import (
    clear_server_change,
    legible,
    read_server_changes,
    write_server_change,
)
from gslb.store.watch import read_everything, read_keys
from gslb.world import Observation, Override, World


async def read_world(fleet: Fleet, clock: Clock) -> World:
    """The world as Redis has it now; raises StoreError when it cannot be read."""
    async with _client(fleet, "read") as client:
        heard = await read_everything(client, fleet)
    ledger = Ledger(fleet, "", clock)
    for observation, lease in heard.observations:
        ledger.hear(observation, lease)
    for report, lease in heard.reports:
        ledger.hear_report(report, lease)
    for subject, override in heard.overrides.items():
        ledger.hear_override(*subject, override)
    for region, intake in heard.intakes.items():
        if intake is not None:
            ledger.hear_intake(region, intake, from_store=True)
    ledger.read_in_full()
    ledger.refold()
    return ledger.world


async def set_override(fleet: Fleet, clock: Clock, override: Override) -> None:
    """Put an override in force; raises StoreError if it cannot be."""
    override = checked(override, fleet, clock.now())
    async with _client(fleet, "written") as client:
        await write_override(client, override, clock.now())


async def clear_override(fleet: Fleet, clock: Clock, region: str, by: str = "", service: str = "") -> bool:
    """End an override; False if there was none. Raises StoreError when Redis cannot be reached.

    region: empty for that on a service wherever it is.
    """
    async with _client(fleet, "written") as client:
        return await delete_override(client, (region, service), by, clock.now())


async def read_history(fleet: Fleet, count: int = 100) -> list[dict[str, str]]:
    """The newest events, the newest first; as Event has them. Raises StoreError likewise."""
    async with _client(fleet, "read") as client:
        return await read_events(client, count)


@dataclass(frozen=True, slots=True)
class ServersSeen:
    """What Redis has on servers: operators' changes, and by target what edges observe."""

    changes: tuple[ServerChange, ...]
    observations: Mapping[str, tuple[Observation, ...]]


async def read_servers(fleet: Fleet, regions: Iterable[str], targets: Iterable[str] = ()) -> ServersSeen:
    """Of all declared and added servers of these regions, and of `targets`. Raises StoreError."""
    regions = tuple(regions)
    changes: list[ServerChange] = []
    async with _client(fleet, "read") as client:
        for region in regions:
            changes += (await read_server_changes(client, region))[0]
        wanted = {*targets, *(change.target for change in changes)}
        for region in regions:
            servers = fleet.regions[region].servers.values()
            wanted.update(server.target for members in servers for server in members)
        seen = [
            keys.observation(target, edge.name)
            for target in sorted(wanted)
            for region in regions
            for edge in fleet.regions[region].edges
            if target.startswith(f"{region}/")
        ]
        heard = await read_keys(client, fleet, seen)
    observations: dict[str, tuple[Observation, ...]] = {}
    for observation, _ in heard.observations:
        observations[observation.target] = (*observations.get(observation.target, ()), observation)
    return ServersSeen(tuple(changes), observations)


async def change_server(fleet: Fleet, clock: Clock, change: ServerChange) -> None:
    """Put in force what `change` says; what it does not speak of stays. Raises StoreError."""
    async with _client(fleet, "written") as client:
        await write_server_change(client, legible(change), clock.now())


async def clear_server(
    fleet: Fleet, clock: Clock, change: ServerChange, fields: Iterable[str] = SAYING
) -> None:
    """Take back what these fields of a server's changes say. `change` tells of which, and by whom."""
    async with _client(fleet, "written") as client:
        await clear_server_change(client, legible(change), fields, clock.now())


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
