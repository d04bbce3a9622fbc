"""What a node does with what is to be moved on: it asks the store, and tells of it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
from closed_loop import SPILL, START, Site, fleet_of, report
from structlog.testing import capture_logs

from gslb.capacity import keeper as keeping
from gslb.capacity.keeper import Keeper
from gslb.clock import FakeClock
from gslb.world import RegionState, Verdict, World

SITES = [Site("west", 0.0), Site("east", 20.0)]


class Store:
    """Takes every intake, unless somebody else was quicker."""

    def __init__(self, *, wins=True):
        states = {site.name: RegionState(site.name, Verdict.UP) for site in SITES}
        reports = {"west": (report("west", 140.0),), "east": (report("east", 10.0),)}
        self.world = World(START, states, reports)
        self.wins = wins
        self.asked = []
        self.came = asyncio.Event()
        self.subscribers = []

    def subscribe(self, callback):
        self.subscribers.append(callback)

    def tell(self, **fields):
        self.world = replace(self.world, **fields)
        for callback in self.subscribers:
            callback(self.world)

    async def propose_intake(self, region, intake):
        self.asked.append((region, intake))
        self.came.set()
        if self.wins:
            states = {**self.world.regions, region: replace(self.world.regions[region], intake=intake)}
            self.tell(regions=states)
        return self.wins


async def two_turns(store):
    clock, fleet = FakeClock(), fleet_of(SITES)
    keeper = Keeper(store, clock, lambda: fleet)
    await keeper.turn()
    clock.advance(SPILL.interval)
    await keeper.turn()
    return keeper, clock


async def test_a_step_is_put_to_the_store_and_told_of_once():
    store = Store()
    with capture_logs() as logs:
        keeper, clock = await two_turns(store)
        await keeper.turn()
        clock.advance(SPILL.interval)
        await keeper.turn()
    assert [region for region, _ in store.asked] == ["west", "west"]
    (line,) = [each for each in logs if each["event"] == "intake"]
    assert line["region"] == "west"
    assert line["now"].startswith("gives clients away")


async def test_who_was_not_first_says_nothing():
    store = Store(wins=False)
    with capture_logs() as logs:
        await two_turns(store)
    assert store.asked
    assert logs == []


@pytest.mark.parametrize("fault", [None, RuntimeError("a fault of our own")])
async def test_it_looks_again_when_the_world_changes_whatever_went_wrong(fault):
    store, clock, fleet = Store(), FakeClock(), fleet_of(SITES)
    faults = [] if fault is None else [fault]

    def in_force():
        if faults:
            raise faults.pop()
        return fleet

    running = asyncio.create_task(Keeper(store, clock, in_force).run())
    try:
        async with asyncio.timeout(10):
            while not store.came.is_set():
                clock.advance(SPILL.interval)
                store.tell()
                await asyncio.sleep(0)
    finally:
        running.cancel()
    assert store.asked[0][0] == "west"


async def ends(task):
    """Whether a cancelled task does end."""
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    task.cancel()
    return bool(done)


@pytest.mark.parametrize("turns_of_the_loop", range(4))
async def test_it_ends_when_it_is_stopped_just_as_the_world_changes(monkeypatch, turns_of_the_loop):
    monkeypatch.setattr(keeping, "AT_MOST_EVERY", 0.0)
    monkeypatch.setattr(keeping, "EVERY", 3600.0)
    store, fleet = Store(), fleet_of(SITES)
    running = asyncio.create_task(Keeper(store, FakeClock(), lambda: fleet).run())
    for _ in range(20):  # by then it waits for a change
        await asyncio.sleep(0)
    store.tell()
    for _ in range(turns_of_the_loop):
        await asyncio.sleep(0)
    assert await ends(running)


async def test_it_ends_even_if_the_client_of_the_store_swallows_the_stop(monkeypatch):
    monkeypatch.setattr(keeping, "EVERY", 3600.0)
    store, clock, fleet = Store(), FakeClock(), fleet_of(SITES)

    async def deaf(region, intake):
        store.came.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return True

    store.propose_intake = deaf
    monkeypatch.setattr(keeping, "AT_MOST_EVERY", 0.0)
    running = asyncio.create_task(Keeper(store, clock, lambda: fleet).run())
    async with asyncio.timeout(10):
        while not store.came.is_set():
            clock.advance(SPILL.interval)
            store.tell()
            await asyncio.sleep(0)
    assert await ends(running)
