"""Stories of processes that share a real Redis, and of a Redis that goes away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import redis
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_process import RedisServer
from small_fleet import observation, small_fleet
from stores import (
    EU,
    EU_TARGET,
    NEVER,
    WWW,
    connected_client,
    eventually,
    is_down,
    is_up,
    running,
    serving_fleet,
    until,
)

from gslb.clock import FakeClock, SystemClock
from gslb.errors import StoreError
from gslb.fleet import SocketAddress
from gslb.server_change import ServerChange
from gslb.store import keys, oneshot
from gslb.store.codec import encode_observation
from gslb.store.connect import connect, disconnect
from gslb.store.oneshot import change_server, clear_server
from gslb.store.publish import Batch, write
from gslb.store.rates import Client, Spending, spend
from gslb.store.state import StateStore
from gslb.store.watch import Heard, read_keys
from gslb.world import Intake, Override, OverrideKind, PoolReport, RegionState, Report, Verdict

GOOD = {name.encode(): text.encode() for name, text in encode_observation(observation()).items()}


def drain(until: float | None = None) -> Override:
    return Override(EU, OverrideKind.DRAIN, "ana@desk", "new cables", SystemClock().now(), until)


async def test_a_change_travels_by_nudge_without_any_poll(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=NEVER)
    async with running(fleet, "ns1") as one, running(fleet, "ns2") as two:
        one.observe(observation(verdict=Verdict.DOWN))
        world = await until(two, is_down())
        assert world.region(EU).reason == "1 of 1 observer: connection refused"
        assert world.observers == ("ns1",)


async def test_the_poll_finds_what_no_nudge_told(redis_server: RedisServer) -> None:
    with redis_server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "default", "resetchannels")
    fleet = small_fleet(redis_server.url, poll=0.02)
    async with running(fleet, "ns1") as one, running(fleet, "ns2") as two:
        one.observe(observation(verdict=Verdict.DOWN))
        await until(two, is_down())
        assert one.connected
        assert two.connected


async def test_redis_killed_and_empty_again_heals_itself(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=0.05, timeout=0.3)
    with structlog.testing.capture_logs() as lines:
        async with running(fleet, "ns1") as one, running(fleet, "ns2", publishes_verdicts=True) as two:
            one.observe(observation(verdict=Verdict.DOWN))
            await until(two, is_down())
            redis_server.kill()
            await eventually(lambda: not one.connected and not two.connected)
            assert two.last_error
            assert is_down()(two.world)
            one.observe(observation(verdict=Verdict.UP))
            assert is_up()(one.world)
            assert is_down()(two.world)
            redis_server.start()
            await until(two, is_up())
            await eventually(lambda: one.connected and two.connected)
            assert one.last_error == two.last_error == ""
            with redis_server.client() as client:
                await eventually(lambda: client.hget(keys.verdict(EU), "state") == "up")
                assert client.hget(keys.observation(EU_TARGET, "ns1"), "state") == "up"
    assert [line["event"] for line in lines].count("redis is away; going on with what is known") == 2
    assert [line["event"] for line in lines].count("redis is back") == 2


async def test_a_redis_that_hangs_is_away(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=0.05, timeout=0.1)
    async with running(fleet, "ns1") as store:
        redis_server.pause()
        await eventually(lambda: not store.connected)
        with pytest.raises(StoreError, match="Redis is away"):
            await store.set_override(drain())
        redis_server.resume()
        await eventually(lambda: store.connected)


async def test_without_redis_a_process_starts_and_works_on_its_own(redis_server: RedisServer) -> None:
    redis_server.kill()
    async with running(small_fleet(redis_server.url, timeout=0.2), "ns1") as store:
        assert not store.connected
        assert "refused" in store.last_error.lower()
        store.observe(observation(verdict=Verdict.DOWN))
        assert is_down()(store.world)
        assert store.world.store_read_at is None
        redis_server.start()
        await eventually(lambda: store.connected)
        with redis_server.client() as client:
            assert client.hget(keys.observation(EU_TARGET, "ns1"), "state") == "down"


async def test_a_silent_observer_abstains_when_its_lease_is_over(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=0.05, lease=0.4)
    async with running(fleet, "ns2") as reader:
        async with connected_client(fleet) as client:
            gone = observation(verdict=Verdict.DOWN)
            await write(client, fleet.redis, Batch((gone,), observer="ns1"), author="ns1", now=gone.since)
        await until(reader, is_down())
        world = await until(reader, lambda world: world.region(EU).verdict is Verdict.UNKNOWN)
        assert world.observers == ()


async def test_leases_end_while_redis_is_away(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=0.05, lease=0.5, timeout=0.2)
    async with running(fleet, "ns1") as one, running(fleet, "ns2") as two:
        two.observe(observation(target="us-east/198.51.100.1", observer="ns2"))
        one.observe(observation(verdict=Verdict.DOWN))
        await until(two, is_down())
        redis_server.kill()
        world = await until(two, lambda world: world.region(EU).verdict is Verdict.UNKNOWN)
        assert world.region("us-east").verdict is Verdict.UP, "own observations count without Redis"


async def test_leases_are_renewed_though_nothing_changes(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=NEVER, lease=0.3)
    key = keys.observation(EU_TARGET, "ns1")
    async with running(fleet, "ns1") as store:
        store.observe(observation())
        store.observe(observation(reason="200 in 99 ms", sequence=2))
        with redis_server.client() as client:
            await eventually(lambda: client.hget(key, "reason") == "200 in 99 ms")
            lives = [int(client.pttl(key))]

            def grew() -> bool:
                lives.append(int(client.pttl(key)))
                return lives[-1] > lives[-2] > 0

            await eventually(grew)
            await eventually(grew)


@pytest.mark.parametrize(
    ("late", "stands"),
    [
        ({"epoch": 5, "sequence": 7}, "down"),
        ({"epoch": 5, "sequence": 8}, "up"),
        ({"epoch": 5, "sequence": 9}, "up"),
        ({"epoch": 6, "sequence": 1}, "up"),
        ({"epoch": 4, "sequence": 99}, "down"),
    ],
)
async def test_a_delayed_write_undoes_nothing_newer(
    redis_server: RedisServer, late: dict[str, int], stands: str
) -> None:
    fleet = small_fleet(redis_server.url)
    async with connected_client(fleet) as client:
        newer = observation(verdict=Verdict.DOWN, epoch=5, sequence=8)
        first = await write(client, fleet.redis, Batch((newer,)), author="ns1", now=1.0)
        assert first.superseded == ()
        second = await write(
            client,
            fleet.redis,
            Batch((observation(**late),)),
            author="ns1",
            now=1.0,  # type: ignore[arg-type]
        )
        key = keys.observation(EU_TARGET, "ns1")
        assert second.superseded == ((key,) if stands == "down" else ())
        assert await client.hget(key, "state") == stands.encode()


async def test_a_forgotten_script_is_told_again(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url)
    async with connected_client(fleet) as client:
        await client.script_flush()
        written = await write(client, fleet.redis, Batch((observation(),)), author="ns1", now=1.0)
        assert written.refusals == ()
        assert await client.hget(keys.observation(EU_TARGET, "ns1"), "state") == b"up"


async def test_foreign_garbage_is_ignored_and_mentioned_once(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=0.02)
    with redis_server.client() as client:
        client.zadd(keys.OBSERVERS, {"ns1": 1, "ns3": 1, "ns4": 1, "ns5": 1, b"\xff\xfe": 1})
        client.hset(keys.observation(EU_TARGET, "ns1"), mapping={"state": "sideways"})
        client.pexpire(keys.observation(EU_TARGET, "ns1"), 60_000)
        client.set(keys.observation(EU_TARGET, "ns3"), "a string")
        client.hset(keys.observation(EU_TARGET, "ns4"), mapping={"state": "down"})
        client.hset(keys.observation(EU_TARGET, "ns5"), mapping={"state": b"\xff"})
        client.hset(keys.override(EU), mapping={"kind": "demolish", "region": EU})
        client.set(keys.verdict(EU), "a string")
        client.hset(keys.observation(EU_TARGET, "ns2"), mapping={"epoch": "9" * 30, "sequence": "1"})
    with structlog.testing.capture_logs() as lines:
        async with running(fleet, "ns2", publishes_verdicts=True) as store:
            store.observe(observation(observer="ns2"))
            with redis_server.client() as client:
                client.publish(keys.CHANGES, b"\xff\xfe")
                client.publish(keys.CHANGES, "gslb:v1:nonsense")
                await eventually(lambda: client.hget(keys.observation(EU_TARGET, "ns2"), "state") == "up")
                await eventually(
                    lambda: (
                        client.type(keys.verdict(EU)) == "hash"
                        and client.hget(keys.verdict(EU), "state") == "up"
                    )
                )
            first_read = store.world.store_read_at
            await eventually(lambda: store.world.store_read_at != first_read)
            assert store.connected
            assert store.world.observers == ("ns2",)
            assert store.world.region(EU).override is None
    about = [line["key"] for line in lines if line["event"] == "a key in redis is not as it should be"]
    assert sorted(about) == sorted(
        [*(keys.observation(EU_TARGET, name) for name in ("ns1", "ns3", "ns4", "ns5")), keys.override(EU)]
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.binary(max_size=6) | st.sampled_from(sorted(GOOD)),
        st.binary(max_size=12) | st.sampled_from([b'"', b"\\", b"\0", b"[", b"1"]),
        min_size=1,
    )
)
def test_whatever_bytes_are_there_reading_goes_on(
    redis_server: RedisServer, garbage: dict[bytes, bytes]
) -> None:
    fleet = small_fleet(redis_server.url)
    places = [
        keys.observation(EU_TARGET, "ns1"),
        keys.report(EU, "edge1"),
        keys.override(EU),
        keys.intake(EU),
    ]
    with redis_server.client() as client:
        for key in places:
            client.delete(key)
            client.hset(key, mapping={**GOOD, **garbage})  # type: ignore[dict-item]
            client.pexpire(key, 60_000)

    async def read() -> Heard:
        async with connected_client(fleet) as client:
            return await read_keys(client, fleet, [*places, "gslb:v1:", "other", keys.verdict(EU)])

    heard = asyncio.run(read())
    assert heard.overrides == {(EU, ""): None}
    assert heard.intakes == {EU: None}
    assert set(heard.unreadable) | {places[0]} == set(places)
    for record, lease in heard.observations:
        assert (record.target, record.observer) == (EU_TARGET, "ns1")
        assert 59 < lease <= 60


async def test_an_override_reaches_all_and_is_cleared_for_all(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=NEVER)
    async with running(fleet, "ns1") as one, running(fleet, "ns2") as two:
        two.observe(observation(observer="ns2"))
        await one.set_override(drain())
        assert not one.world.region(EU).eligible
        world = await until(two, lambda world: world.region(EU).override is not None)
        assert world.region(EU).verdict is Verdict.UP, "the real state shows beside the override"
        assert not world.region(EU).eligible
        assert world.region(EU).override == one.world.region(EU).override
        assert await two.clear_override(EU, by="bob")
        assert not await two.clear_override(EU, by="bob")
        await until(one, lambda world: world.region(EU).override is None)
        texts = [event["text"] for event in await one.events() if event["region"] == EU]
        assert texts == [
            "the override of eu-west was cleared by bob",
            "eu-west drained by ana@desk: new cables",
        ]


async def test_overrides_outlive_the_link_but_not_their_end(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=0.05, timeout=0.2)
    async with running(fleet, "ns1") as store:
        await eventually(lambda: store.connected)
        await store.set_override(drain(SystemClock().now() + 1.0))
        redis_server.kill()
        await eventually(lambda: not store.connected)
        assert store.world.region(EU).override is not None
        await until(store, lambda world: world.region(EU).override is None)
        assert not store.connected


async def test_an_override_ends_in_redis_too(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url)
    clock = SystemClock()
    await oneshot.set_override(fleet, clock, drain(clock.now() + 500))
    with redis_server.client() as client:
        assert 400_000 < client.pttl(keys.override(EU)) <= 500_000
    await oneshot.set_override(fleet, clock, drain())
    with redis_server.client() as client:
        assert client.pttl(keys.override(EU)) == -1


async def test_history_tells_each_change_of_a_region_once(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=NEVER)
    async with (
        running(fleet, "ns1", publishes_verdicts=True) as one,
        running(fleet, "ns2", publishes_verdicts=True) as two,
    ):
        one.observe(observation())
        await until(two, is_up())
        one.observe(observation(verdict=Verdict.DOWN))
        await until(two, is_down())
        one.observe(observation())
        await until(two, is_up())
        with redis_server.client() as client:
            await eventually(lambda: client.hget(keys.verdict(EU), "state") == "up")
            assert 0 < client.pttl(keys.verdict(EU)) <= 10_000
    told = [event["text"] for event in await oneshot.read_history(fleet) if event["kind"] == "verdict"]
    # Two nodes that write while a third change is under way may miss the middle, but nobody repeats.
    assert all(earlier != later for earlier, later in pairwise(told))
    assert told[0] == "eu-west is up: 1 of 1 observer: 200"
    assert told[-1] == "eu-west is up: 1 of 1 observer: 200"
    assert "eu-west is down: 1 of 1 observer: connection refused" in told


def verdicts_told(client: redis.Redis) -> int:
    """Events of that kind; observers may still be joining."""
    return sum(fields["kind"] == "verdict" for _, fields in client.xrange(keys.EVENTS))


async def test_who_disagrees_about_a_verdict_undoes_nothing_when_an_intake_moves_on(
    redis_server: RedisServer,
) -> None:
    """Two nodes that are each cut off from the other's word, as when nudges are lost."""
    fleet = serving_fleet(redis_server.url, poll=NEVER)
    async with (
        running(fleet, "ns1", publishes_verdicts=True) as one,
        running(fleet, "ns2", publishes_verdicts=True) as two,
    ):
        with redis_server.client() as client:
            two.observe(observation())
            await eventually(lambda: client.hget(keys.verdict(EU), "concluded_by") == "ns2")
            await until(one, is_up())
            # It takes two of two to say DOWN: ns1 alone has heard both.
            one._ledger.hear(observation(observer="ns2", verdict=Verdict.DOWN, epoch=2**62), NEVER)
            one.observe(observation(verdict=Verdict.DOWN))
            await eventually(lambda: client.hget(keys.verdict(EU), "state") == "down")
            before = verdicts_told(client)
            for sequence in (1, 2, 3):
                part = Intake(shed=sequence / 10, sequence=sequence, reason=f"gives {sequence}")
                for store in (two, one):
                    store._ledger.hear_intake(EU, part, from_store=False)
                    store._fold()
                    assert store.world.region(EU).verdict is (Verdict.UP if store is two else Verdict.DOWN)
                await eventually(lambda: client.hget(keys.verdict(EU), "intake") == part.reason)  # noqa: B023
                assert client.hget(keys.verdict(EU), "state") == "down"
            assert verdicts_told(client) == before


async def test_a_change_that_redis_missed_is_told_when_it_is_back(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=0.05, lease=NEVER, timeout=0.1)
    async with running(fleet, "ns1", publishes_verdicts=True) as store:
        with redis_server.client() as client:
            store.observe(observation())
            await eventually(lambda: client.hget(keys.verdict(EU), "state") == "up")
            client.replicaof("127.0.0.1", "1")  # read-only, as after a failover to another
            store.observe(observation(verdict=Verdict.DOWN))
            await eventually(lambda: not store.connected)
            assert "read only" in store.last_error
            client.replicaof("NO", "ONE")
            await eventually(lambda: client.hget(keys.verdict(EU), "state") == "down")
    (newest, *_) = [event for event in await oneshot.read_history(fleet) if event["kind"] == "verdict"]
    assert newest["text"] == "eu-west is down: 1 of 1 observer: connection refused"


async def test_one_of_many_tells_a_change_and_no_renewal_undoes_it(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url)
    up, down = (RegionState(EU, verdict, reason="so it is") for verdict in (Verdict.UP, Verdict.DOWN))
    steps = [
        ("ns1", up, True, "up", 1),
        ("ns2", up, True, "up", 1),
        ("ns1", down, True, "down", 2),
        ("ns2", up, False, "down", 2),
        ("ns2", down, False, "down", 2),
        ("ns2", up, True, "up", 3),
    ]
    async with connected_client(fleet) as client:
        for author, state, change, stands, told in steps:
            await write(client, fleet.redis, Batch(verdicts=[(state, change)]), author=author, now=1.0)
            assert await client.hget(keys.verdict(EU), "state") == stands.encode()
            assert await client.xlen(keys.EVENTS) == told
        await client.delete(keys.verdict(EU))
        await write(client, fleet.redis, Batch(verdicts=[(up, False)]), author="ns2", now=1.0)
        assert await client.hget(keys.verdict(EU), "concluded_by") == b"ns2", (
            "a renewal restores what is lost"
        )


async def test_observers_that_come_and_go_are_told_of(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=NEVER, lease=0.3)
    with redis_server.client() as client:
        client.zadd(keys.OBSERVERS, {"ns9": 1})
        async with running(fleet, "ns1", publishes_verdicts=True) as store:
            store.observe(observation())
            await eventually(lambda: client.zrange(keys.OBSERVERS, 0, -1) == ["ns1"])
    told = {(event["kind"], event["text"]) for event in await oneshot.read_history(fleet)}
    assert ("observer_joined", "ns1 observes the regions") in told
    assert ("observer_left", "ns9 has been silent for 0.9 s") in told
    assert ("observer_left", "ns1 was stopped") in told


def report(healthy: int, *, in_flight: int = 1) -> Report:
    pools = (PoolReport("web", healthy, 3, in_flight),)
    return Report(EU, "edge1", 1_800_000_000.0, 12.5, 3, 0.01, 2000.0, 0.006, pools)


async def test_how_busy_a_region_is_arrives_with_the_poll(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=0.02)
    async with running(fleet, "eu-west-edge1") as edge, running(fleet, "ns1") as node:
        regions = node.world.regions
        edge.report(report(3))
        world = await until(node, lambda world: bool(world.reports))
        (heard,) = world.reports[EU]
        assert replace(heard, epoch=0, sequence=0) == report(3)
        assert heard.epoch == edge.epoch
        edge.report(report(3, in_flight=2))
        world = await until(node, lambda world: world.reports[EU][0].pools[0].in_flight == 2)
        assert world.regions is regions, "how busy a region is decides nothing about it"


async def test_lost_servers_are_told_of_by_nudge_without_any_poll(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=NEVER)
    async with running(fleet, "eu-west-edge1") as edge, running(fleet, "ns1") as node:
        for healthy in (3, 2, 0, 1):
            edge.report(report(healthy))
            world = await until(
                node, lambda world, wanted=healthy: [r.healthy for r in world.reports.get(EU, ())] == [wanted]
            )
            assert world.region(EU).without == (frozenset() if healthy else {"web"})
            assert world.region(EU).live == round(healthy / 3, 2)
        nudged: list[bytes] = []
        client = connect(fleet.redis)
        async with client.pubsub() as subscription:
            await subscription.subscribe(keys.CHANGES)
            edge.report(report(1, in_flight=7))
            edge.report(report(2, in_flight=8))
            async for message in subscription.listen():
                if message["type"] == "message":
                    nudged.append(message["data"])
                    break
            found = await client.hget(keys.report(EU, "edge1"), "pool:web")
        await disconnect(client)
        assert nudged == [keys.report(EU, "edge1").encode()]
        assert found == b"2 of 3 healthy, 8 in flight"


async def test_servers_observations_are_there_for_people_and_decide_nothing(
    redis_server: RedisServer,
) -> None:
    fleet = small_fleet(redis_server.url, poll=0.02)
    target = "eu-west/web/127.0.20.11:9001"
    async with running(fleet, "eu-west-edge1") as edge, running(fleet, "ns1") as node:
        edge.observe(observation(target=target, verdict=Verdict.DOWN))
        with redis_server.client() as client:
            await eventually(
                lambda: client.hget(keys.observation(target, "eu-west-edge1"), "state") == "down"
            )
            assert client.zrange(keys.OBSERVERS, 0, -1) == []
        assert node.world.observers == edge.world.observers == ()


async def test_one_look_at_the_world(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=NEVER)
    clock = SystemClock()
    async with running(fleet, "ns1") as one, running(fleet, "ns2") as two:
        one.observe(observation(verdict=Verdict.DOWN))
        two.observe(observation(observer="ns2", verdict=Verdict.DOWN))
        await until(one, lambda world: world.observers == ("ns1", "ns2"))
        await oneshot.set_override(fleet, clock, drain())
        world = await oneshot.read_world(fleet, clock)
    assert world.observers == ("ns1", "ns2")
    assert world.region(EU).reason == "2 of 2 observers: connection refused"
    assert world.region(EU).override is not None
    assert await oneshot.clear_override(fleet, clock, EU, by="bob")
    assert not await oneshot.clear_override(fleet, clock, EU)


async def test_commands_say_which_redis_is_away_and_not_its_password(redis_server: RedisServer) -> None:
    redis_server.kill()
    fleet = small_fleet(f"redis://me:sesame@127.0.0.1:{redis_server.port}/0")
    with pytest.raises(StoreError) as caught:
        await oneshot.read_world(fleet, SystemClock())
    assert f"redis://me:***@127.0.0.1:{redis_server.port}/0" in str(caught.value)
    assert "sesame" not in str(caught.value)


async def test_unix_sockets(redis_server: RedisServer) -> None:
    fleet = small_fleet(f"unix://{redis_server.socket_path}")
    async with running(fleet, "ns1") as store:
        assert store.connected
        assert store.world.store_read_at is not None


async def test_refused_writes_are_known_and_reading_goes_on(redis_server: RedisServer) -> None:
    with redis_server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "default", "-hset")
    fleet = small_fleet(redis_server.url, poll=0.02, lease=0.2)
    with structlog.testing.capture_logs() as lines:
        async with running(fleet, "ns1") as store:
            store.observe(observation())
            await eventually(lambda: bool(store.last_error))
            before = store.world.store_read_at
            await eventually(lambda: store.world.store_read_at != before)
            assert store.connected
            with redis_server.client() as admin:
                admin.execute_command("ACL", "SETUSER", "default", "+hset")
            await eventually(lambda: not store.last_error)
    assert [line["event"] for line in lines].count("redis refuses what we write") == 1


@pytest.mark.parametrize("shares_limits", [True, False])
async def test_the_permissions_in_the_documentation_suffice(
    redis_server: RedisServer, shares_limits: bool
) -> None:
    text = Path(__file__).parents[2].joinpath("docs", "redis.md").read_text("utf-8")
    *lines_of_all, of_limits = text.partition("ACL SETUSER gslb ")[2].partition("```")[0].splitlines()
    rules = " ".join([*lines_of_all, *([of_limits] if shares_limits else [])]).split()
    with redis_server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "gslb", *rules)
        fleet = serving_fleet(f"redis://gslb:password@127.0.0.1:{redis_server.port}/0", poll=NEVER)
        with structlog.testing.capture_logs() as lines:
            async with (
                running(fleet, "ns1", publishes_verdicts=True) as one,
                running(fleet, "ns2", publishes_verdicts=True) as two,
            ):
                one.observe(observation())
                two.observe(observation(observer="ns2"))
                await one.set_override(drain(SystemClock().now() + 60.0))
                await one.set_override(replace(drain(), service=WWW))
                assert await one.propose_intake(EU, Intake(shed=0.1, reason="gives some away", sequence=1))
                await until(two, lambda world: WWW in world.region(EU).overrides)
                await until(two, lambda world: not world.region(EU).intake.whole)
                assert await two.clear_override(EU)
                await until(one, lambda world: world.region(EU).override is None)
                await eventually(lambda: admin.hget(keys.verdict(EU), "state") == "up")
                assert await one.events()
                assert one.last_error == two.last_error == ""
            if shares_limits:
                client = connect(fleet.redis)
                spending = Spending("limit", 0.1, 10, [Client("192.0.2.1", 1, 0.1)])
                assert (await spend(client, "edge 1", [spending])).processes == 1
                await disconnect(client)
            server = ServerChange(EU, "web", SocketAddress("192.0.2.1", 80), weight=2, by="ana", since=1.0)
            await change_server(fleet, SystemClock(), server)
            await clear_server(fleet, SystemClock(), server)
    assert lines == []


async def test_a_newer_process_of_the_same_name_wins(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url, poll=NEVER)
    key = keys.observation(EU_TARGET, "ns1")
    old = StateStore(fleet, "ns1", SystemClock(), epoch=1)
    new = StateStore(fleet, "ns1", SystemClock(), epoch=2)
    with structlog.testing.capture_logs() as lines, redis_server.client() as client:
        await old.start()
        await new.start()
        try:
            new.observe(observation())
            await eventually(lambda: client.hget(key, "epoch") == "2")
            old.observe(observation(verdict=Verdict.DOWN, sequence=50))
            await eventually(lambda: any(line.get("key") == key for line in lines))
            assert client.hget(key, "state") == "up"
            old.observe(observation(verdict=Verdict.DOWN, reason="timeout", sequence=51))
            old.observe(observation("us-east/198.51.100.1", sequence=52))
            await eventually(lambda: bool(client.exists(keys.observation("us-east/198.51.100.1", "ns1"))))
        finally:
            await new.stop()
            await old.stop()
    assert [(line["event"], line["observer"], line["key"]) for line in lines] == [
        ("another process runs under our name, or our clock was set back", "ns1", key)
    ]


async def test_an_override_that_nobody_could_use_is_refused() -> None:
    store = StateStore(small_fleet(), "ns1", FakeClock(1_800_000_000.0))
    with pytest.raises(StoreError, match=r"would have ended at 2027-01-15T07:59:59"):
        await store.set_override(drain(1_799_999_999.0))
    with pytest.raises(StoreError, match=r"no region mars .the regions are eu-west, us-east"):
        await store.set_override(replace(drain(), region="mars"))
    with pytest.raises(StoreError, match="under 4096 characters"):
        await store.set_override(replace(drain(), reason="x" * 5000))


async def test_what_goes_wrong_with_leaving_keeps_nobody_from_ending(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as what the client raises when its connection is closed beneath it."""
    fleet = small_fleet(redis_server.url, poll=0.05)
    async with running(fleet, "ns1", publishes_verdicts=True) as store:
        assert store.connected

        async def break_off() -> None:
            raise AttributeError("writelines")

        monkeypatch.setattr(store, "_take_leave", break_off)
        await store.stop()
        assert not store.connected
