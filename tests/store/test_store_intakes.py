"""Of many nodes that move a region's intake on one wins, and all go by what it said, also without Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from redis_process import RedisServer
from stores import EU, NEVER, eventually, running, serving_fleet, until

from gslb.clock import SystemClock
from gslb.store import keys, oneshot
from gslb.store.codec_intakes import encode_intake
from gslb.store.intakes import LEASE, news
from gslb.world import EVERYBODY, Intake, World

FIRST = Intake(0.1, 1.0, 1.0, "gives 10 % of its clients away", 1_800_000_000.0, 1)
SECOND = replace(FIRST, shed=0.2, reason="gives 20 % of its clients away", sequence=2)
WHOLE = Intake(since=1_800_000_060.0, sequence=3)


def takes(intake: Intake) -> Callable[[World], bool]:
    return lambda world: world.region(EU).intake == intake


async def test_a_step_reaches_all_by_nudge_and_whoever_comes_later(redis_server: RedisServer) -> None:
    fleet = serving_fleet(redis_server.url, poll=NEVER)
    async with running(fleet, "ns1") as one, running(fleet, "ns2") as two:
        assert await one.propose_intake(EU, FIRST)
        assert takes(FIRST)(one.world)
        await until(two, takes(FIRST))
        async with running(fleet, "ns3") as three:
            assert takes(FIRST)(three.world)
        with redis_server.client() as client:
            assert 0 < client.pttl(keys.intake(EU)) <= LEASE * 1000
    assert takes(FIRST)(await oneshot.read_world(fleet, SystemClock()))


async def test_of_many_proposals_with_one_sequence_one_wins_and_is_told_of_once(
    redis_server: RedisServer,
) -> None:
    fleet = serving_fleet(redis_server.url, poll=NEVER)
    async with running(fleet, "ns1") as one, running(fleet, "ns2") as two, running(fleet, "ns3") as three:
        stores = (one, two, three)
        rivals = [replace(FIRST, shed=0.1 * n) for n in (1, 2, 3)]
        won = await asyncio.gather(
            *(store.propose_intake(EU, intake) for store, intake in zip(stores, rivals, strict=True))
        )
        assert sorted(won) == [False, False, True]
        winner = rivals[won.index(True)]
        for store in stores:
            await until(store, takes(winner))
        assert [event["kind"] for event in await one.events()] == ["intake"]
        assert not await one.propose_intake(EU, FIRST), "an old step is none"
        assert not await one.propose_intake("mars", SECOND)


async def test_without_redis_it_holds_here(redis_server: RedisServer) -> None:
    async with running(serving_fleet(), "ns1") as store:
        assert await store.propose_intake(EU, FIRST)
        assert takes(FIRST)(store.world)
        assert not await store.propose_intake(EU, FIRST)
        assert await store.propose_intake(EU, SECOND)
        assert await store.propose_intake(EU, WHOLE)
        told = await store.events()
    assert [event["text"] for event in told] == [
        "eu-west takes everybody again",
        "eu-west gives 10 % of its clients away",
    ]


async def test_what_was_decided_while_redis_was_away_is_written_when_it_is_back(
    redis_server: RedisServer,
) -> None:
    fleet = serving_fleet(redis_server.url, poll=0.05, timeout=0.3)
    async with running(fleet, "ns1", publishes_verdicts=True) as one, running(fleet, "ns2") as two:
        await one.propose_intake(EU, FIRST)
        await until(two, takes(FIRST))
        redis_server.kill()
        await eventually(lambda: not one.connected)
        assert await one.propose_intake(EU, SECOND)
        assert takes(SECOND)(one.world)
        redis_server.start()
        await until(two, takes(SECOND))


async def test_who_went_further_meanwhile_is_followed(redis_server: RedisServer) -> None:
    fleet = serving_fleet(redis_server.url, poll=0.05, timeout=0.3)
    async with running(fleet, "ns1", publishes_verdicts=True) as store:
        redis_server.kill()
        await eventually(lambda: not store.connected)
        await store.propose_intake(EU, FIRST)
        redis_server.start()
        with redis_server.client() as client:
            client.hset(keys.intake(EU), mapping=encode_intake(EU, SECOND))
            client.pexpire(keys.intake(EU), 60_000)
        await until(store, takes(SECOND))


async def test_of_equal_sequences_that_in_redis_counts(redis_server: RedisServer) -> None:
    fleet = serving_fleet(redis_server.url, poll=0.05, timeout=0.3)
    other = replace(FIRST, shed=0.5)
    async with running(fleet, "ns1", publishes_verdicts=True) as store:
        redis_server.kill()
        await eventually(lambda: not store.connected)
        await store.propose_intake(EU, FIRST)
        redis_server.start()
        with redis_server.client() as client:
            client.hset(keys.intake(EU), mapping=encode_intake(EU, other))
            client.pexpire(keys.intake(EU), 60_000)
            await eventually(lambda: store.connected)
            # Whichever of the two came first to Redis is what all of them hold.
            await eventually(
                lambda: client.hget(keys.intake(EU), "shed") == f"{store.world.region(EU).intake.shed:g}"
            )


@pytest.mark.parametrize(
    ("mapping", "lease"),
    [
        ({"sequence": "9", "shed": "x"}, 60_000),
        (encode_intake(EU, SECOND) | {"shed": "1.5"}, 60_000),
        (encode_intake("us-east", SECOND), 60_000),
        (encode_intake(EU, SECOND), None),
    ],
)
async def test_garbage_is_no_intake(
    redis_server: RedisServer, mapping: dict[str, str], lease: int | None
) -> None:
    with redis_server.client() as client:
        client.hset(keys.intake(EU), mapping=mapping)  # type: ignore[arg-type]
        if lease is not None:
            client.pexpire(keys.intake(EU), lease)
    async with running(serving_fleet(redis_server.url), "ns1") as store:
        assert store.connected
        assert takes(EVERYBODY)(store.world)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (None, FIRST, "eu-west gives 10 % of its clients away"),
        (EVERYBODY, FIRST, "eu-west gives 10 % of its clients away"),
        (FIRST, SECOND, None),
        (FIRST, replace(SECOND, reason="comes back"), "eu-west comes back"),
        (SECOND, WHOLE, "eu-west takes everybody again"),
        (WHOLE, FIRST, "eu-west gives 10 % of its clients away"),
        (WHOLE, WHOLE, None),
        (None, WHOLE, None),
    ],
)
def test_history_tells_of_the_first_step_and_the_last(
    before: Intake | None, after: Intake, text: str | None
) -> None:
    event = news(EU, before, after, 1.0)
    assert (event.text if event is not None else None) == text
    if event is not None:
        assert (event.kind, event.region) == ("intake", EU)
