"""A Redis that is there and will not serve: one line each, no region lost, and no hand needed afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import redis
import structlog
from redis_process import RedisServer
from small_fleet import observation
from stores import EU, EU_TARGET, WWW, eventually, is_up, running, serving_fleet, until

from gslb.clock import SystemClock
from gslb.errors import StoreError
from gslb.store import keys, oneshot
from gslb.store.state import StateStore
from gslb.world import Intake, Override, OverrideKind, Verdict

STEP = Intake(0.1, 1.0, 1.0, "gives 10 % of its clients away", 1_800_000_000.0, 1)


def drain(service: str = "") -> Override:
    return Override(EU, OverrideKind.DRAIN, "ana@desk", "", SystemClock().now(), service=service)


@asynccontextmanager
async def node(redis_server: RedisServer, **times: float) -> AsyncIterator[StateStore]:
    fleet = serving_fleet(redis_server.url, **{"poll": 0.05, "lease": 0.6, "timeout": 0.3, **times})
    async with running(fleet, "ns1", publishes_verdicts=True) as store:
        store.observe(observation())
        with redis_server.client() as client:
            await eventually(lambda: bool(client.exists(keys.observation(EU_TARGET, "ns1"))))
        yield store


def events(lines: list[structlog.typing.EventDict]) -> list[str]:
    return [line["event"] for line in lines]


async def test_a_read_only_replica_is_no_redis_until_it_is_a_master(redis_server: RedisServer) -> None:
    async with node(redis_server) as store:
        with redis_server.client() as client, structlog.testing.capture_logs() as lines:
            client.replicaof("127.0.0.1", "1")
            await eventually(lambda: not store.connected)
            assert "read only" in store.last_error
            with pytest.raises(StoreError, match="Redis is away"):
                await store.set_override(drain())
            assert await store.propose_intake(EU, STEP)
            assert is_up()(store.world)
            client.replicaof("NO", "ONE")
            await eventually(lambda: store.connected and not store.last_error)
            await store.set_override(drain())
            await eventually(lambda: client.hget(keys.intake(EU), "sequence") == "1")
    assert events(lines) == ["redis is away; going on with what is known", "redis is back"]


async def test_out_of_memory_operators_are_heard_and_leases_are_renewed(redis_server: RedisServer) -> None:
    async with node(redis_server) as store:
        with redis_server.client() as client:
            try:
                client.config_set("maxmemory-policy", "noeviction")
                client.config_set("maxmemory", "1")
                await store.set_override(drain())
                await store.set_override(drain(WWW))
                assert client.hget(keys.override(EU), "kind") == "drain"
                assert await store.clear_override(EU, "ana")
                assert await store.clear_override(EU, "ana", WWW)
                assert await store.propose_intake(EU, STEP)
                store.observe(observation(verdict=Verdict.DOWN))
                key = keys.observation(EU_TARGET, "ns1")
                await eventually(lambda: client.hget(key, "state") == "down")
                assert store.connected
            finally:
                client.config_set("maxmemory", "0")
            await eventually(lambda: not store.last_error)


@asynccontextmanager
async def guarded(redis_server: RedisServer) -> AsyncIterator[redis.Redis]:
    """Redis wants `sesame` of whoever comes from now on; a client that was there before."""
    with redis_server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "default", "resetpass", ">sesame")
        try:
            yield admin
        finally:
            admin.execute_command("ACL", "SETUSER", "default", "nopass")


@pytest.mark.parametrize("login", ["", ":wrong@", "nobody:wrong@"])
async def test_a_wrong_password_is_told_once_and_is_mended_in_redis(
    redis_server: RedisServer, login: str
) -> None:
    url = f"redis://{login}127.0.0.1:{redis_server.port}/0"
    async with guarded(redis_server) as admin:
        with structlog.testing.capture_logs() as lines:
            async with running(serving_fleet(url, poll=0.05, timeout=0.3), "ns1") as store:
                await eventually(lambda: len(lines) == 1)
                assert not store.connected
                store.observe(observation())
                assert is_up()(store.world)
                admin.execute_command("ACL", "SETUSER", "default", ">wrong" if login else "nopass")
                admin.execute_command("ACL", "SETUSER", "nobody", "on", ">wrong", "~*", "&*", "+@all")
                await eventually(lambda: store.connected)
        admin.execute_command("ACL", "DELUSER", "nobody")
    assert events(lines) == ["redis is away; going on with what is known", "redis is back"]
    assert lines[0]["error"]
    assert "wrong" not in lines[0]["error"].replace("WRONGPASS", "")


async def test_a_password_that_is_changed_meanwhile_is_told_with_the_next_connection(
    redis_server: RedisServer,
) -> None:
    async with node(redis_server) as store, guarded(redis_server) as admin:
        with structlog.testing.capture_logs() as lines:
            admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await eventually(lambda: not store.connected)
            admin.execute_command("ACL", "SETUSER", "default", "nopass")
            await eventually(lambda: store.connected)
    assert events(lines) == ["redis is away; going on with what is known", "redis is back"]


Answer = Callable[[bytes], bytes]


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """A server that says to every command what `answer` makes of it; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while header := await reader.readline():
                for _ in range(int(header[1:])):
                    length = int((await reader.readline())[1:])
                    await reader.readexactly(length + 2)
                writer.write(answer(header))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loading the dataset"),
        (b"-NOAUTH Authentication required.\r\n", "Authentication required"),
        (b"-MASTERDOWN Link with MASTER is down\r\n", "MASTER is down"),
        (b"-CLUSTERDOWN Hash slot not served\r\n", "a Redis Cluster: write redis+cluster://"),
        (
            b"-CROSSSLOT Keys in request don't hash to the same slot\r\n",
            "a Redis Cluster: write redis+cluster://",
        ),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", "a Redis Cluster: write redis+cluster://"),
        (b"-ERR unknown command\r\n", "unknown command"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ""),
    ],
)
async def test_whatever_answers_instead_is_away_until_redis_answers(reply: bytes, error: str) -> None:
    async with answering(lambda _: reply) as url:
        fleet = serving_fleet(url, poll=0.05, timeout=0.3)
        with structlog.testing.capture_logs() as lines:
            async with running(fleet, "ns1") as store:
                await eventually(lambda: len(lines) == 1)
                assert not store.connected
                assert error in store.last_error
                store.observe(observation())
                assert is_up()(store.world)
        with pytest.raises(StoreError):
            await oneshot.set_override(fleet, SystemClock(), drain())
    assert events(lines) == ["redis is away; going on with what is known"]


async def test_a_redis_that_is_too_slow_is_away_and_found_again(redis_server: RedisServer) -> None:
    async with node(redis_server, timeout=0.2, poll=0.05) as store:
        with structlog.testing.capture_logs() as lines:
            redis_server.pause()
            await eventually(lambda: not store.connected)
            assert store.last_error == "timeout"
            assert is_up()(store.world)
            redis_server.resume()
            await eventually(lambda: store.connected)
    assert events(lines) == ["redis is away; going on with what is known", "redis is back"]


async def test_what_may_not_be_written_is_told_once_and_read_all_the_same(redis_server: RedisServer) -> None:
    fleet = serving_fleet(redis_server.url, poll=0.02, lease=0.3)
    async with running(fleet, "ns2") as other, node(redis_server, poll=0.02, lease=0.3) as store:
        with redis_server.client() as admin, structlog.testing.capture_logs() as lines:
            # What a Redis that cannot write its snapshot says to every write.
            admin.execute_command("ACL", "SETUSER", "default", "-hset", "-xadd")
            await eventually(lambda: bool(store.last_error))
            with pytest.raises(StoreError, match="the override was not set"):
                await store.set_override(drain())
            assert store.world.region(EU).override is None
            admin.execute_command("ACL", "SETUSER", "default", "+hset", "+xadd")
            await eventually(lambda: not store.last_error)
            await other.set_override(drain())
            await until(store, lambda world: world.region(EU).override is not None)
            assert store.connected
    assert events(lines).count("redis refuses what we write") <= 2
