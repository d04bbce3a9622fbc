"""Stories of what must not happen: regions lost to silence, links lost to logs, words lost to races."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
import redis.asyncio
import structlog
from redis_process import RedisServer
from small_fleet import observation, small_fleet
from stores import EU, EU_TARGET, NEVER, WAIT, connected_client, eventually, is_down, is_up, running, until

from gslb.clock import FakeClock, SystemClock
from gslb.fleet import Fleet
from gslb.store import inbox, keys
from gslb.store.codec import encode_observation
from gslb.store.ledger import Ledger
from gslb.store.link import Link
from gslb.store.publish import Batch, write
from gslb.store.state import StateStore
from gslb.store.watch import Heard, read_everything
from gslb.world import Override, OverrideKind, Verdict, World

US_TARGET = "us-east/198.51.100.1"


async def test_no_region_goes_down_because_a_reader_cannot_reach_redis(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=0.05, lease=0.6, timeout=0.3)
    async with running(fleet, "ns1") as one, running(fleet, "ns2") as two, running(fleet, "ns3") as three:
        one.observe(observation(verdict=Verdict.DOWN))
        two.observe(observation())
        three.observe(observation())
        await until(one, lambda world: world.observers == ("ns1", "ns2", "ns3"))
        assert is_up()(one.world)
        seen: list[Verdict] = []
        one.subscribe(lambda world: seen.append(world.region(EU).verdict))
        redis_server.kill()
        world = await until(one, lambda world: world.observers == ("ns1",))
        assert world.region(EU).reason.endswith("200; held, as Redis is away")
        # Back, and empty: until the others find it as well, this one is still the only voice.
        redis_server.start()
        world = await until(one, lambda world: world.observers == ("ns1", "ns2", "ns3"))
        assert world.region(EU).reason == "2 of 3 observers: 200"
        assert set(seen) == {Verdict.UP}


async def test_what_falls_while_redis_is_away_goes_down(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=0.05, lease=0.4, timeout=0.3)
    async with running(fleet, "ns1") as one, running(fleet, "ns2") as two:
        one.observe(observation())
        two.observe(observation())
        await until(one, lambda world: len(world.observers) == 2)
        redis_server.kill()
        await until(one, lambda world: len(world.observers) == 1)
        one.observe(observation(verdict=Verdict.DOWN, since=1_800_000_009.0))
        assert is_down()(one.world)


async def test_a_log_that_fails_does_not_end_the_link(redis_server: RedisServer) -> None:
    def fails(*_: object) -> dict[str, object]:
        raise OSError("no space left on device")

    async with running(small_fleet(redis_server.url, poll=0.05, timeout=0.2), "ns1") as store:
        structlog.configure(processors=[fails])
        redis_server.kill()
        await eventually(lambda: not store.connected)
        assert store.last_error
        redis_server.start()
        await eventually(lambda: store.connected)
        assert store.last_error == ""


async def test_overrides_go_on_ending_after_folding_has_failed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([ValueError("a fault of ours")])

    def fails_once(ledger: Ledger) -> float | None:
        for failure in failures:
            raise failure
        return next_end(ledger)

    next_end = Ledger.next_end
    monkeypatch.setattr(Ledger, "next_end", fails_once)
    async with running(small_fleet(None, poll=0.05), "ns1") as store:
        now = SystemClock().now()
        await store.set_override(Override(EU, OverrideKind.DRAIN, "ana", "cables", now, now + 0.1))
        await until(store, lambda world: world.region(EU).override is not None)
        await until(store, lambda world: world.region(EU).override is None)
    assert not list(failures)


async def test_what_no_probe_renews_lapses_and_its_observer_leaves(redis_server: RedisServer) -> None:
    fleet, clock = small_fleet(redis_server.url, poll=NEVER, lease=0.3), FakeClock()
    store = StateStore(fleet, "ns1", clock)
    await store.start()
    try:
        store.observe(observation())
        store.observe(observation(US_TARGET))
        with redis_server.client() as client:
            await eventually(lambda: client.exists(_key(EU_TARGET), _key(US_TARGET)) == 2)
            clock.advance(60.0)
            store.observe(observation(US_TARGET, sequence=2, reason="200 in 99 ms"))
            await eventually(lambda: not client.exists(_key(EU_TARGET)))
            await eventually(lambda: client.hget(_key(US_TARGET), "reason") == "200 in 99 ms")
            store.observe(observation(sequence=3))
            await eventually(lambda: bool(client.exists(_key(EU_TARGET))))
    finally:
        await store.stop()


async def test_news_without_end_does_not_put_off_renewals(redis_server: RedisServer) -> None:
    renewed_again = asyncio.Event()
    renewals = 0

    async def read(client: redis.asyncio.Redis, wanted: Iterable[str] | None) -> None:
        await asyncio.sleep(0)

    async def write_more(client: redis.asyncio.Redis, renew: bool) -> None:
        nonlocal renewals
        renewals += renew
        if renewals == 3:  # the first is that of the new link
            renewed_again.set()
        link.wake_writer()
        await asyncio.sleep(0)

    link = Link(small_fleet(redis_server.url, lease=0.06).redis, read, write_more)
    running_link = asyncio.create_task(link.run())
    try:
        async with asyncio.timeout(WAIT):
            await renewed_again.wait()
    finally:
        running_link.cancel()
        await asyncio.gather(running_link, return_exceptions=True)


async def test_a_moment_that_no_calendar_has_costs_no_link(redis_server: RedisServer) -> None:
    foreign = encode_observation(observation(observer="ns9")) | {"since": "9999-12-31T23:59:59-01:00"}
    with redis_server.client() as client:
        client.zadd(keys.OBSERVERS, {"ns9": 1})
        client.hset(keys.observation(EU_TARGET, "ns9"), mapping=foreign)
        client.pexpire(keys.observation(EU_TARGET, "ns9"), 60_000)
        fleet = small_fleet(redis_server.url, poll=NEVER)
        with structlog.testing.capture_logs() as lines:
            async with running(fleet, "ns1", publishes_verdicts=True) as store:
                store.observe(observation())
                await eventually(lambda: client.hget(keys.verdict(EU), "state") == "up")
                assert store.world.observers == ("ns1",)
    assert [line["problem"] for line in lines] == ["a field is missing or illegible"]


async def test_one_record_that_cannot_be_written_holds_up_no_other(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url)
    batch = Batch((observation(since=1e18), observation(US_TARGET)))
    async with connected_client(fleet) as client:
        written = await write(client, fleet.redis, batch, author="ns1", now=1.0)
        assert await client.hget(_key(US_TARGET), "state") == b"up"
        assert not await client.exists(_key(EU_TARGET))
    (refusal,) = written.refusals
    assert refusal.startswith(f"{_key(EU_TARGET)} cannot be written: ")


@pytest.mark.parametrize("cleared", [False, True])
async def test_a_reading_that_began_before_an_override_does_not_undo_it(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, cleared: bool
) -> None:
    has_read, go_on = asyncio.Event(), asyncio.Event()
    readings = 0

    async def slow(
        client: redis.asyncio.Redis,
        fleet: Fleet,
        *,
        but_of: str | None = None,
        held: Iterable[tuple[str, str]] = (),
    ) -> Heard:
        nonlocal readings
        readings += but_of == "ns1"
        follows_the_subscription = but_of == "ns1" and readings == 2
        heard = await read_everything(client, fleet, but_of=but_of, held=held)
        if follows_the_subscription:
            has_read.set()
            await go_on.wait()
        return heard

    override = Override(EU, OverrideKind.DRAIN, "ana@desk", "new cables", SystemClock().now())
    fleet = small_fleet(redis_server.url, poll=NEVER)
    async with running(fleet, "ns2") as other:
        if cleared:
            await other.set_override(override)
        monkeypatch.setattr(inbox, "read_everything", slow)
        async with running(fleet, "ns1") as store:
            async with asyncio.timeout(WAIT):
                await has_read.wait()
            if cleared:
                assert await store.clear_override(EU)
            else:
                await store.set_override(override)
            undone: list[World] = []

            def look(world: World) -> None:
                if (world.region(EU).override is None) is not cleared:
                    undone.append(world)

            store.subscribe(look)
            read_at = store.world.store_read_at
            go_on.set()
            await eventually(lambda: store.world.store_read_at != read_at)
            assert (store.world.region(EU).override is None) is cleared
            assert undone == []
            # What others decide is heard as ever.
            if cleared:
                await other.set_override(override)
                await until(store, lambda world: world.region(EU).override is not None)
            else:
                assert await other.clear_override(EU)
                await until(store, lambda world: world.region(EU).override is None)


def _key(target: str) -> str:
    return keys.observation(target, "ns1")
