"""Stories of a Redis that comes back without its memory: nothing an operator said is lost, or undone."""

from __future__ import annotations

from dataclasses import replace

import structlog
from redis_process import RedisServer
from small_fleet import observation
from stores import EU, NEVER, US, WWW, connected_client, eventually, running, serving_fleet, until

from gslb.clock import FakeClock, SystemClock
from gslb.store import keys, oneshot
from gslb.store.emptied import Era
from gslb.store.override import write_override
from gslb.world import Intake, Override, OverrideKind, Verdict, World

INTAKE = Intake(0.1, 1.0, 1.0, "gives 10 % of its clients away", 1_800_000_000.0, 7)


def drain(region: str = EU, service: str = "", until: float | None = None) -> Override:
    now = SystemClock().now()
    return Override(region, OverrideKind.DRAIN, "ana@desk", "new cables", now, until, service)


async def test_everything_is_there_again_after_redis_has_lost_it(
    redis_server: RedisServer,
) -> None:
    fleet = serving_fleet(redis_server.url, poll=0.05, timeout=0.3)
    async with (
        running(fleet, "ns1", publishes_verdicts=True) as one,
        running(fleet, "ns2", publishes_verdicts=True) as two,
    ):
        await eventually(lambda: one.connected and two.connected)
        one.observe(observation(verdict=Verdict.DOWN))
        await one.set_override(drain())
        await one.set_override(drain("", WWW, SystemClock().now() + NEVER))
        await one.propose_intake(US, INTAKE)
        await until(
            two, lambda world: world.region(US).intake == INTAKE and WWW in world.region(EU).overrides
        )
        lost: list[World] = []

        def look(world: World) -> None:
            if world.region(EU).override is None or WWW not in world.region(US).overrides:
                lost.append(world)

        one.subscribe(look)
        two.subscribe(look)
        with structlog.testing.capture_logs() as lines:
            redis_server.restart()
            await eventually(lambda: len([1 for line in lines if "lost its memory" in line["event"]]) == 2)
            await eventually(lambda: one.connected and two.connected)
        with redis_server.client() as client:
            await eventually(lambda: client.hget(keys.verdict(EU), "state") == "down")
            await eventually(lambda: client.hget(keys.intake(US), "sequence") == "7")
            assert client.hget(keys.override(EU), "by") == "ana@desk"
            assert client.pttl(keys.override(EU)) == -1
            assert 0 < client.pttl(keys.override("", WWW)) <= NEVER * 1000
        world = await oneshot.read_world(fleet, SystemClock())
        assert world.region(EU).override == one.world.region(EU).override
        assert world.region(US).overrides == one.world.region(US).overrides
        assert lost == [], "not for one moment was a word forgotten"
        kinds = [event["kind"] for event in await oneshot.read_history(fleet)]
        assert kinds.count("store_emptied") == 1
        assert sum(line.get("given_back", 0) for line in lines) == 2


async def test_a_flush_under_a_running_link_is_healed_at_once(redis_server: RedisServer) -> None:
    fleet = serving_fleet(redis_server.url, poll=0.02, lease=NEVER)
    async with running(fleet, "ns1", publishes_verdicts=True) as store:
        store.observe(observation())
        await store.set_override(drain())
        with redis_server.client() as client:
            await eventually(lambda: client.hget(keys.verdict(EU), "state") == "up")
            client.flushall()
            await eventually(lambda: client.hget(keys.override(EU), "kind") == "drain")
            # Long before any lease would be renewed.
            await eventually(lambda: client.hget(keys.verdict(EU), "state") == "up")
            await eventually(lambda: client.zrange(keys.OBSERVERS, 0, -1) == ["ns1"])
        assert store.world.region(EU).override is not None


async def test_a_flush_in_the_middle_of_a_reading_costs_no_word(
    redis_server: RedisServer,
) -> None:
    fleet = serving_fleet(redis_server.url, poll=NEVER)
    async with running(fleet, "ns1") as store:
        await store.set_override(drain("", WWW))
        lost: list[World] = []

        def look(world: World) -> None:
            if WWW not in world.region(EU).overrides:
                lost.append(world)

        store.subscribe(look)
        with redis_server.client() as client:
            client.flushall()
            # A nudge alone makes it look, as one for a word that was cleared would.
            await eventually(lambda: client.publish(keys.CHANGES, keys.override("", WWW)) == 1)
            await eventually(lambda: client.hget(keys.override("", WWW), "kind") == "drain")
            assert client.zrange(keys.OVERRIDES, 0, -1) == [f"*/{WWW}"]
        assert lost == []


async def test_a_newer_word_is_never_undone(redis_server: RedisServer) -> None:
    fleet, clock = serving_fleet(redis_server.url, poll=NEVER), FakeClock()
    held = drain()
    newer = replace(held, kind=OverrideKind.FORCED_UP)
    async with connected_client(fleet) as client:
        era = Era(clock, "ns1", 20.0)
        await era.check(client, [], [])
        era.read_in_full()
        await client.flushall()
        await write_override(client, newer, SystemClock().now())
        assert await era.check(client, [held], [])
        assert await client.hget(keys.override(EU), "kind") == b"forced_up"
        assert not await era.check(client, [held], []), "it is emptied once"


async def test_what_was_cleared_since_stays_cleared(redis_server: RedisServer) -> None:
    fleet, clock = serving_fleet(redis_server.url), FakeClock()
    async with connected_client(fleet) as client:
        era = Era(clock, "ns1", 20.0)
        await era.check(client, [], [])
        era.read_in_full()
        await client.flushall()
        # Redis does not know of it, but the operator has said so.
        assert not await oneshot.clear_override(fleet, SystemClock(), EU, "bob")
        assert await era.check(client, [drain(), drain(US)], [])
        assert not await client.exists(keys.override(EU))
        assert await client.exists(keys.override(US))
        assert await oneshot.clear_override(fleet, SystemClock(), US, "bob")
        await oneshot.set_override(fleet, SystemClock(), drain())
        assert await client.exists(keys.override(EU)), "what is said again holds again"


async def test_who_was_cut_off_for_long_gives_nothing_back(redis_server: RedisServer) -> None:
    fleet, clock = serving_fleet(redis_server.url), FakeClock()
    async with connected_client(fleet) as client:
        era = Era(clock, "ns1", 20.0)
        await era.check(client, [], [])
        era.read_in_full()
        clock.advance(20.5)
        await client.flushall()
        assert await era.check(client, [drain()], [])
        assert not await client.exists(keys.override(EU))


async def test_what_has_ended_is_not_given_back_and_a_first_meeting_is_no_loss(
    redis_server: RedisServer,
) -> None:
    fleet = serving_fleet(redis_server.url)
    clock = FakeClock()
    async with connected_client(fleet) as client:
        era = Era(clock, "ns1", 20.0)
        assert not await era.check(client, [drain()], [])
        assert not await client.exists(keys.override(EU))
        era.read_in_full()
        await client.flushall()
        assert await era.check(client, [drain(until=clock.now() - 1), drain(US, until=clock.now() + 5)], [])
        assert not await client.exists(keys.override(EU))
        assert 0 < await client.pttl(keys.override(US)) <= 5000
        assert await client.xlen(keys.EVENTS) == 1


async def test_an_era_that_may_not_be_asked_for_changes_nothing(redis_server: RedisServer) -> None:
    fleet = serving_fleet(redis_server.url, poll=0.02)
    with redis_server.client() as admin:
        admin.set(keys.ERA, "a string")
        admin.execute_command("ACL", "SETUSER", "default", "-hset")
        async with running(fleet, "ns1") as store:
            assert store.connected
            read_at = store.world.store_read_at
            await eventually(lambda: store.world.store_read_at != read_at)
            admin.execute_command("ACL", "SETUSER", "default", "+hset")
            await eventually(lambda: admin.type(keys.ERA) == "hash")
