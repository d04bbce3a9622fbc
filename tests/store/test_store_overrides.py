"""Operators' words on regions, on services in them, and on services everywhere, through a real Redis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import structlog
from redis_process import RedisServer
from stores import API, EU, NEVER, US, WWW, eventually, running, serving_fleet, until

from gslb.clock import FakeClock, SystemClock
from gslb.errors import StoreError
from gslb.store import keys, oneshot
from gslb.store.codec_overrides import encode_override
from gslb.store.state import StateStore
from gslb.world import Override, OverrideKind, Verdict, World

HELD = ((EU, Verdict.UP), (US, Verdict.DOWN))


def word(kind: OverrideKind, region: str = EU, service: str = "", **more: object) -> Override:
    return Override(region, kind, "ana@desk", "new cables", SystemClock().now(), service=service, **more)  # type: ignore[arg-type]


def weight(part: float, region: str = EU, service: str = "") -> Override:
    return word(OverrideKind.WEIGHT, region, service, weight=part)


def on_service(service: str, region: str = EU) -> Callable[[World], bool]:
    return lambda world: service in world.region(region).overrides


async def test_a_word_on_a_service_reaches_all_by_nudge_and_is_cleared_for_all(
    redis_server: RedisServer,
) -> None:
    fleet = serving_fleet(redis_server.url, poll=NEVER)
    async with running(fleet, "ns1") as one, running(fleet, "ns2") as two:
        await one.set_override(word(OverrideKind.DRAIN, EU, WWW))
        await until(two, on_service(WWW))
        for store in (one, two):
            assert not store.world.region(EU).eligible_for(WWW)
            assert store.world.region(EU).eligible_for(API)
            assert store.world.region(US).eligible_for(WWW)
        assert await two.clear_override(EU, "bob", WWW)
        assert not await two.clear_override(EU, "bob", WWW)
        await until(one, lambda world: world.region(EU).eligible_for(WWW))


async def test_who_comes_later_reads_all_words_there_are(redis_server: RedisServer) -> None:
    fleet, clock = serving_fleet(redis_server.url), SystemClock()
    for override in (
        weight(0.25),
        word(OverrideKind.HOLD, "", WWW, held=HELD),
        word(OverrideKind.FORCED_DOWN, US, WWW),
        word(OverrideKind.DRAIN, EU, API),
    ):
        await oneshot.set_override(fleet, clock, override)
    async with running(fleet, "ns1") as store:
        for world in (store.world, await oneshot.read_world(fleet, clock)):
            region = world.region(EU)
            assert region.weight("") == 0.25
            assert region.overrides[WWW].held == HELD
            assert region.overrides[API].kind is OverrideKind.DRAIN
            assert world.region(US).overrides[WWW].kind is OverrideKind.FORCED_DOWN
    assert await oneshot.clear_override(fleet, clock, "", "bob", WWW)
    assert not await oneshot.clear_override(fleet, clock, "", "bob", WWW)
    assert WWW not in (await oneshot.read_world(fleet, clock)).region(EU).overrides


async def test_a_cleared_word_whose_nudge_was_lost_goes_with_the_poll(redis_server: RedisServer) -> None:
    with redis_server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "default", "resetchannels")
    fleet = serving_fleet(redis_server.url, poll=0.02)
    async with running(fleet, "ns1") as one, running(fleet, "ns2") as two:
        await one.set_override(word(OverrideKind.DRAIN, EU, WWW))
        await until(two, on_service(WWW))
        await one.clear_override(EU, "ana", WWW)
        await until(two, lambda world: WWW not in world.region(EU).overrides)


async def test_a_word_on_a_service_ends_on_time_and_leaves_the_index(redis_server: RedisServer) -> None:
    fleet = serving_fleet(redis_server.url, poll=0.05, lease=0.15)
    async with running(fleet, "ns1", publishes_verdicts=True) as store:
        until_then = SystemClock().now() + 2.0
        await store.set_override(word(OverrideKind.DRAIN, EU, WWW, until=until_then))
        assert on_service(WWW)(store.world)
        with redis_server.client() as client:
            assert 0 < client.pttl(keys.override(EU, WWW)) <= 2000
            await until(store, lambda world: WWW not in world.region(EU).overrides)
            await eventually(lambda: client.zcard(keys.OVERRIDES) == 0)


async def test_the_index_forgets_what_is_gone_and_survives_garbage(redis_server: RedisServer) -> None:
    fleet = serving_fleet(redis_server.url, poll=0.05, lease=0.15)
    with redis_server.client() as client:
        client.zadd(keys.OVERRIDES, {f"{EU}/{WWW}": 1e18, "nonsense": 1e18, b"\xff/\xfe": 1e18, "*/*": 1e18})
        async with running(fleet, "ns1", publishes_verdicts=True) as store:
            await eventually(lambda: client.zscore(keys.OVERRIDES, f"{EU}/{WWW}") is None)
            assert store.connected
            client.set(keys.OVERRIDES, "a string")
            await store.set_override(word(OverrideKind.DRAIN, EU, API))
            assert client.zrange(keys.OVERRIDES, 0, -1) == [f"{EU}/{API}"]


async def test_history_tells_what_was_said_in_words_and_in_fields(redis_server: RedisServer) -> None:
    fleet, clock = serving_fleet(redis_server.url), SystemClock()
    end = 4_102_444_800.0
    await oneshot.set_override(fleet, clock, weight(0.25))
    await oneshot.set_override(fleet, clock, word(OverrideKind.DRAIN, EU, WWW, until=end))
    await oneshot.set_override(fleet, clock, word(OverrideKind.HOLD, "", WWW, held=HELD))
    await oneshot.clear_override(fleet, clock, "", "bob", WWW)
    told = [{**event, "at": ""} for event in await oneshot.read_history(fleet)]
    common = {"at": "", "kind": "override"}
    assert told == [
        {
            **common,
            "kind": "override_cleared",
            "region": "",
            "service": WWW,
            "text": f"the override of {WWW} was cleared by bob",
        },
        {
            **common,
            "region": "",
            "service": WWW,
            "state": "hold",
            "text": f"{WWW} held as it is by ana@desk: new cables",
        },
        {
            **common,
            "region": EU,
            "service": WWW,
            "state": "drain",
            "until": "2100-01-01T00:00:00.000Z",
            "text": f"{WWW} in {EU} drained by ana@desk until 2100-01-01T00:00:00.000Z: new cables",
        },
        {
            **common,
            "region": EU,
            "service": "",
            "state": "weight",
            "weight": "0.25",
            "text": f"{EU} given weight 0.25 by ana@desk: new cables",
        },
    ]


async def test_without_redis_words_on_services_hold_here(redis_server: RedisServer) -> None:
    async with running(serving_fleet(), "ns1") as store:
        await store.set_override(word(OverrideKind.DRAIN, "", WWW))
        assert not store.world.region(EU).eligible_for(WWW)
        assert not store.world.region(US).eligible_for(WWW)
        assert await store.clear_override("", "bob", WWW)
        assert not await store.clear_override("", "bob", WWW)
        assert store.world.region(US).eligible_for(WWW)
        assert [event["kind"] for event in await store.events()] == ["override_cleared", "override"]


async def test_what_cannot_be_told_of_is_not_in_force(redis_server: RedisServer) -> None:
    fleet, clock = serving_fleet(redis_server.url), SystemClock()
    await oneshot.set_override(fleet, clock, weight(0.25))
    with redis_server.client() as client:
        client.delete(keys.EVENTS)
        client.set(keys.EVENTS, "a string")
        with pytest.raises(StoreError, match="cannot be written"):
            await oneshot.set_override(fleet, clock, word(OverrideKind.DRAIN))
        with pytest.raises(StoreError, match="cannot be written"):
            await oneshot.clear_override(fleet, clock, EU)
        assert client.hget(keys.override(EU), "kind") == "weight"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (word(OverrideKind.DRAIN, "mars"), r"no region mars .the regions are eu-west, us-east"),
        (word(OverrideKind.DRAIN, ""), "no region"),
        (word(OverrideKind.DRAIN, EU, "x.example"), r"no service x.example .the services are www"),
        (word(OverrideKind.DRAIN, US, API), r"api.shop.example is not served from us-east .* eu-west"),
        (word(OverrideKind.DRAIN, "mars", API), "no region mars"),
        (weight(1.01), "weight of eu-west is not between 0 and 1"),
        (weight(-0.01, EU, WWW), "weight of www.shop.example in eu-west is not between"),
        (weight(float("nan")), "not between 0 and 1"),
        (word(OverrideKind.WEIGHT), "not between 0 and 1"),
        (word(OverrideKind.HOLD), "holds nothing"),
        (word(OverrideKind.HOLD, held=(("mars", Verdict.UP),)), "no region mars"),
    ],
)
async def test_what_nobody_could_use_is_refused_with_the_remedy(override: Override, message: str) -> None:
    store = StateStore(serving_fleet(), "ns1", FakeClock())
    with pytest.raises(StoreError, match=message):
        await store.set_override(override)
    assert await store.events() == []


async def test_many_services_are_named_in_part() -> None:
    fleet = serving_fleet()
    fleet = replace(fleet, services={f"s{n}.example": fleet.services[WWW] for n in range(100)})
    with pytest.raises(StoreError, match=r"the services are s0.example, .*, s4.example and 95 more"):
        await StateStore(fleet, "ns1", FakeClock()).set_override(word(OverrideKind.DRAIN, EU, "x.example"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "demolish"),
        ("kind", None),
        ("region", US),
        ("region", None),
        ("service", API),
        ("service", None),
        ("by", None),
        ("reason", None),
        ("since", "yesterday"),
        ("since", None),
        ("until", "soon"),
        ("weight", "heavy"),
        ("weight", "2"),
        ("weight", None),
        ("weight", b"\xff"),
    ],
)
async def test_a_broken_word_pushed_by_hand_is_ignored_with_one_line(
    redis_server: RedisServer, field: str, value: str | bytes | None
) -> None:
    key = keys.override(EU, WWW)
    with redis_server.client() as client:
        client.hset(key, mapping=encode_override(weight(0.0, EU, WWW)))
        client.zadd(keys.OVERRIDES, {f"{EU}/{WWW}": "+inf"})
        if value is None:
            client.hdel(key, field)
        else:
            client.hset(key, field, value)
        with structlog.testing.capture_logs() as lines:
            async with running(serving_fleet(redis_server.url, poll=0.02), "ns1") as store:
                client.publish(keys.CHANGES, key)
                read_at = store.world.store_read_at
                await eventually(lambda: store.world.store_read_at != read_at)
                assert store.connected
                assert store.world.region(EU).eligible_for(WWW)
                assert not store.world.region(EU).overrides
    assert [line["key"] for line in lines] == [key]


async def test_a_word_set_by_hand_holds_if_it_is_listed_and_stays_though_the_index_is_lost(
    redis_server: RedisServer,
) -> None:
    fleet = serving_fleet(redis_server.url, poll=0.02)
    async with running(fleet, "ns1") as store:
        with redis_server.client() as client:
            client.hset(keys.override(EU, WWW), mapping=encode_override(word(OverrideKind.DRAIN, EU, WWW)))
            client.zadd(keys.OVERRIDES, {f"{EU}/{WWW}": "+inf"})
            await until(store, on_service(WWW))
            client.delete(keys.OVERRIDES)
            read_at = store.world.store_read_at
            await eventually(lambda: store.world.store_read_at != read_at)
            assert on_service(WWW)(store.world), "the poll looks after every word that is known"
            client.delete(keys.override(EU, WWW))
            await until(store, lambda world: WWW not in world.region(EU).overrides)


async def test_words_on_what_the_fleet_does_not_have_wait_for_it(redis_server: RedisServer) -> None:
    fleet = serving_fleet(redis_server.url, poll=NEVER)
    small = replace(fleet, services={API: fleet.services[API]})
    await oneshot.set_override(fleet, SystemClock(), word(OverrideKind.DRAIN, EU, WWW))
    async with running(small, "ns1") as store:
        assert not store.world.region(EU).overrides
        store.use_fleet(fleet, await store.read_ahead(fleet))
        assert on_service(WWW)(store.world)
