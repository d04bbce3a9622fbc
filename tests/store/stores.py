"""Runs state stores for tests, and waits for what they come to know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import redis.asyncio
from small_fleet import small_fleet

from gslb.clock import SystemClock
from gslb.fleet import Fleet, Service
from gslb.store.commands import load_scripts
from gslb.store.connect import connect, disconnect
from gslb.store.state import StateStore
from gslb.world import Verdict, World

WAIT = 15.0
"""Seconds that only a failing test waits for."""

NEVER = 3600.0
EU, EU_TARGET = "eu-west", "eu-west/192.0.2.1"
US = "us-east"
WWW, API = "www.shop.example", "api.shop.example"


def serving_fleet(
    url: str | None = None, *, poll: float = 1.0, lease: float = 10.0, timeout: float = 1.0
) -> Fleet:
    """Two regions, WWW from both, API from EU alone."""
    fleet = small_fleet(url, poll=poll, lease=lease, timeout=timeout)
    services = {
        WWW: Service(WWW, "shop.example", (EU, US), ()),
        API: Service(API, "shop.example", (EU,), ()),
    }
    return replace(fleet, services=services)


@asynccontextmanager
async def running(fleet: Fleet, name: str, **options: bool) -> AsyncIterator[StateStore]:
    store = StateStore(fleet, name, SystemClock(), **options)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


async def until(store: StateStore, wanted: Callable[[World], bool]) -> World:
    """The first world of the store that is as wanted; no looking every so often, its subscribers are told."""
    seen = asyncio.Event()

    def look(world: World) -> None:
        if wanted(world):
            seen.set()

    store.subscribe(look)
    look(store.world)
    async with asyncio.timeout(WAIT):
        await seen.wait()
    return store.world


async def eventually(wanted: Callable[[], bool]) -> None:
    """For what nobody announces: look again and again, patiently."""
    async with asyncio.timeout(WAIT):
        while not wanted():
            await asyncio.sleep(0.005)


def is_down(region: str = EU) -> Callable[[World], bool]:
    return lambda world: world.region(region).verdict is Verdict.DOWN


def is_up(region: str = EU) -> Callable[[World], bool]:
    return lambda world: world.region(region).verdict is Verdict.UP


@asynccontextmanager
async def connected_client(fleet: Fleet) -> AsyncIterator[redis.asyncio.Redis]:
    client = connect(fleet.redis)
    try:
        await load_scripts(client)
        yield client
    finally:
        await disconnect(client)
