"""Rate limits that processes share through a real Redis, and what becomes of them when it goes away."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog
from redis.exceptions import RedisError
from redis_process import RedisServer
from small_fleet import small_fleet
from stores import connected_client, eventually

from edge.shared_rate_limit import SharedBuckets
from edge.shared_rates import SharedRates
from gslb.errors import StoreError
from gslb.fleet import RateLimit
from gslb.store import keys
from gslb.store.rates import Client, Shared, Spending, spend

# Next to nothing is refilled while a test runs, however slow the machine is.
SLOW = RateLimit(1, per=1000.0, burst=6)
NAME = "shop.example/api:0123abcd"
KEY = keys.rate(NAME)


def spending(*clients: Client, cost: float = 1000.0, burst: int = 6) -> Spending:
    return Spending(NAME, cost, burst, clients)


def rounded(shared: Shared) -> list[int]:
    """In units of what one request takes to be refilled."""
    return [math.ceil(missing / 1000.0) for each in shared.missing for missing in each]


async def test_what_all_admit_adds_up(redis_server: RedisServer) -> None:
    async with connected_client(small_fleet(redis_server.url)) as client:
        first = await spend(client, "one", [spending(Client("a", 3, 3000.0), Client("b", 1, 1000.0))])
        second = await spend(client, "two", [spending(Client("a", 2, 2000.0))])
        third = await spend(client, "one", [])
    assert (first.processes, rounded(first)) == (1, [3, 1])
    assert (second.processes, rounded(second)) == (2, [5])
    assert third == Shared(2, ())


async def test_requests_of_before_count_from_when_they_were_admitted(redis_server: RedisServer) -> None:
    async with connected_client(small_fleet(redis_server.url)) as client:
        shared = await spend(client, "one", [spending(Client("a", 1, 400.0), Client("b", 1, -5.0))])
        assert shared.missing[0][0] == pytest.approx(400.0, abs=0.01)
        assert await client.zrange(KEY, 0, -1) == [b"a"], "who has it all back is not kept"
        again = await spend(client, "two", [spending(Client("a", 1, 100.0))])
        assert rounded(again) == [2]


async def test_operators_can_see_who_has_used_up_the_most(redis_server: RedisServer) -> None:
    async with connected_client(small_fleet(redis_server.url)) as client:
        await spend(client, "one", [spending(Client("a", 1, 1000.0), Client("ä", 3, 3000.0))])
        seconds, _ = await client.time()
        (most, most_at), (_, least_at) = await client.zrevrange(KEY, 0, -1, withscores=True)
        assert most.decode() == "ä"
        assert most_at / 1000 == pytest.approx(seconds + 3000, abs=60)
        assert least_at / 1000 == pytest.approx(seconds + 1000, abs=60)


async def test_it_all_goes_when_its_time_is_over(redis_server: RedisServer) -> None:
    async with connected_client(small_fleet(redis_server.url)) as client:
        await spend(client, "one", [spending(Client("a", 5, 5000.0))])
        await spend(client, "one", [spending(Client("b", 1, 1000.0))])
        lives = await client.pttl(KEY)
        (_, last) = (await client.zrevrange(KEY, 0, 0, withscores=True))[0]
        seconds, _ = await client.time()
        assert seconds * 1000 + lives >= last - 1000, "it outlives everybody in it"
        assert 0 < lives <= 5_000_001
        assert 0 < await client.pttl(keys.LIMITERS) <= 5000


async def test_a_bounded_number_of_clients_is_kept(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gslb.store.rates.CLIENTS_KEPT", 2)
    async with connected_client(small_fleet(redis_server.url)) as client:
        clients = [Client(name, count, count * 1000.0) for name, count in zip("abc", (2, 1, 3), strict=True)]
        shared = await spend(client, "one", [spending(*clients)])
        assert rounded(shared) == [2, 1, 3]
        assert await client.zrange(KEY, 0, -1) == [b"a", b"c"]


async def test_a_clock_that_was_set_back_locks_nobody_out(redis_server: RedisServer) -> None:
    async with connected_client(small_fleet(redis_server.url)) as client:
        seconds, _ = await client.time()
        tomorrow = (seconds + 86_400) * 1000
        await client.zadd(KEY, {"a": tomorrow, "b": float("inf")})
        await client.zadd(keys.LIMITERS, {"of the future": tomorrow, "silent": (seconds - 60) * 1000})
        clients = [Client(name, 1, 10.0) for name in "abc"]
        shared = await spend(client, "one", [spending(*clients, cost=10.0, burst=4)])
    assert shared.processes == 1
    most = 2 * (4 * 10.0 + 1.0)
    assert shared.missing[0] == pytest.approx([most, most, 10.0], abs=0.01)


async def test_garbage_in_its_place_is_replaced(redis_server: RedisServer) -> None:
    async with connected_client(small_fleet(redis_server.url)) as client:
        await client.set(KEY, "a string")
        await client.hset(keys.LIMITERS, "a", "hash")
        shared = await spend(client, "one", [spending(Client("a", 1, 1000.0))])
    assert (shared.processes, rounded(shared)) == (1, [1])


async def test_a_refusal_is_an_error_and_no_answer(redis_server: RedisServer) -> None:
    with redis_server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "default", "-zadd")
    async with connected_client(small_fleet(redis_server.url)) as client:
        with pytest.raises(RedisError):
            await spend(client, "one", [])


@asynccontextmanager
async def sharing(url: str, process: str, buckets: SharedBuckets) -> AsyncIterator[SharedRates]:
    rates = SharedRates(small_fleet(url, timeout=0.3).redis, process, interval=0.01)
    rates.use({NAME: buckets})
    task = asyncio.create_task(rates.run())
    try:
        yield rates
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def take(buckets: SharedBuckets, times: int) -> int:
    """How many of so many requests are admitted now."""
    now = asyncio.get_running_loop().time()
    return sum(buckets.take("a", now) == 0.0 for _ in range(times))


def remaining(buckets: SharedBuckets) -> int:
    return buckets.remaining("a", asyncio.get_running_loop().time())


async def test_two_processes_share_a_limit(redis_server: RedisServer) -> None:
    one, two = SharedBuckets(SLOW), SharedBuckets(SLOW)
    async with sharing(redis_server.url, "one", one), sharing(redis_server.url, "two", two):
        assert take(one, 4) == 4
        with redis_server.client() as client:
            await eventually(lambda: client.zcard(KEY) == 1)
        assert take(two, 1) == 1
        await eventually(lambda: remaining(two) == 1)
        assert take(two, 4) == 1
        assert take(one, 1) == 1, "not told yet that they are all gone"
        await eventually(lambda: remaining(one) == 0)


async def test_while_redis_is_away_each_admits_its_part(redis_server: RedisServer) -> None:
    one, two = SharedBuckets(SLOW), SharedBuckets(SLOW)
    with structlog.testing.capture_logs() as lines:
        async with (
            sharing(redis_server.url, "one", one) as first,
            sharing(redis_server.url, "two", two) as second,
        ):
            await eventually(lambda: first.processes == second.processes == 2)
            redis_server.kill()
            await eventually(lambda: not first.connected and not second.connected)
            assert take(one, 9) == take(two, 9) == 3
            redis_server.start()
            await eventually(lambda: first.connected and second.connected)
            assert take(one, 9) == 0, "three of 2000 s each are owed to what is not yet refilled"
    events = [line["event"] for line in lines]
    assert events.count("rate limits are not shared; this process admits its part of them") == 2
    assert events.count("rate limits are shared again") == 2


async def test_without_redis_from_the_start_nobody_else_is_known(redis_server: RedisServer) -> None:
    redis_server.kill()
    one = SharedBuckets(SLOW)
    async with sharing(redis_server.url, "one", one) as first:
        await eventually(lambda: bool(first.last_error))
        assert take(one, 9) == 6
        redis_server.start()
        await eventually(lambda: first.connected)


async def test_a_redis_that_hangs_holds_up_nobody(redis_server: RedisServer) -> None:
    one = SharedBuckets(SLOW)
    async with sharing(redis_server.url, "one", one) as first:
        await eventually(lambda: first.connected)
        redis_server.pause()
        assert take(one, 9) == 6
        await eventually(lambda: not first.connected)
        redis_server.resume()
        await eventually(lambda: first.connected)


async def test_limits_can_be_replaced_while_they_are_shared(redis_server: RedisServer) -> None:
    old, new = SharedBuckets(SLOW), SharedBuckets(SLOW)
    async with sharing(redis_server.url, "one", old) as first:
        await eventually(lambda: first.connected)
        first.use({"another:0": new})
        take(new, 2)
        with redis_server.client() as client:
            await eventually(lambda: client.zcard(keys.rate("another:0")) == 1)
            assert not client.exists(KEY)


def test_without_url_there_is_nothing_to_share_through() -> None:
    with pytest.raises(StoreError, match=r"set redis.url"):
        SharedRates(small_fleet().redis, "one")
