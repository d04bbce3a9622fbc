"""A Redis Cluster: all keys are in one slot; who has it is found, and found again when it is another."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis_cluster import RedisCluster
from redis_process import RedisServer
from small_fleet import observation, small_fleet
from stores import EU, EU_TARGET, WWW, connected_client, eventually, is_up, running, serving_fleet, until

from gslb.clock import SystemClock
from gslb.config.redis_url import parse_redis_url
from gslb.config.wrong_value import WrongError
from gslb.demo.redis_server import find_server_binary
from gslb.errors import StoreError
from gslb.fleet import RedisSettings, Secret, SocketAddress
from gslb.store import keys, oneshot
from gslb.store.cluster import MOST_KNOWN, SLOT, Nodes, Told, is_of_cluster, tagged, told_by
from gslb.store.connect import connect, disconnect, reason
from gslb.store.rates import Client, Spending, spend
from gslb.store.state import StateStore
from gslb.world import Intake, Override, OverrideKind, World

AWAY, BACK = "redis is away; going on with what is known", "redis is back"
ASKED = SocketAddress("192.0.2.9", 6379)
STEP = Intake(0.1, 1.0, 1.0, "gives 10 % of its clients away", 1_800_000_000.0, 1)


def drain(service: str = "") -> Override:
    return Override(EU, OverrideKind.DRAIN, "ana@desk", "", SystemClock().now(), service=service)


def is_drained(world: World) -> bool:
    return world.region(EU).override is not None


def www_is_drained(world: World) -> bool:
    return WWW in world.region(EU).overrides


@given(st.text(), st.text())
def test_whatever_a_key_names_all_are_in_one_slot(region: str, service: str) -> None:
    for key in (keys.OBSERVERS, keys.override(region, service), keys.observation(region, service)):
        assert key_slot(tagged(key).encode()) == SLOT


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://a",
        "redis+cluster://u:p%2Fw@a:7001,[::1]:7002/0",
        "redis+cluster://:p@a,b?socket_timeout=2",
    ],
)
def test_urls_of_clusters(url: str) -> None:
    secret = parse_redis_url(url)
    assert secret is not None
    assert is_of_cluster(connect(RedisSettings(url=secret)))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis+cluster://:sesame@", "a node that is not a HOST:PORT"),
        ("redis+cluster://:sesa/me@a", "a node that is not a HOST:PORT"),
        ("redis+cluster://:sesame@a:70000", "a node that is not a HOST:PORT"),
        ("redis+cluster://:sesame@a/1", "a Cluster has not"),
        ("redis+cluster://:sesame@a?db=1", "a Cluster has not"),
        ("redis+cluster://:sesame@a?sesame=1", "an option behind the `\\?`"),
    ],
)
def test_urls_of_clusters_that_cannot_work(url: str, why: str) -> None:
    with pytest.raises(WrongError, match=why) as caught:
        parse_redis_url(url)
    assert "sesa" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis+cluster://:sesame@a/1", "redis+cluster://:sesame@a:b"])
def test_what_is_no_url_of_a_cluster_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(StoreError, match="is not a legal Redis URL") as caught:
        connect(RedisSettings(url=Secret(url)))
    assert "sesame" not in str(caught.value)


A, B, C = (SocketAddress("127.0.0.1", port) for port in (7001, 7002, 7003))


def node(address: SocketAddress) -> list[object]:
    return [address.host.encode(), address.port, b"id", []]


def test_a_node_tells_who_has_our_slot_and_who_else_there_is() -> None:
    reply = [[0, SLOT - 1, node(B)], [SLOT, SLOT, node(A), node(C)], [SLOT + 1, 16383, node(B)]]
    assert told_by(reply, ASKED) == Told(A, (A, C, B))
    assert told_by([[0, SLOT - 1, node(B)]], ASKED) == Told(None, (B,))


@pytest.mark.parametrize("unknown", [None, b""])
def test_a_node_without_a_name_has_the_one_it_was_asked_by(unknown: object) -> None:
    assert told_by([[0, 16383, [unknown, 7001, b"id"]]], ASKED).owner == SocketAddress("192.0.2.9", 7001)


def test_a_primary_whose_name_nobody_knows_is_none_and_its_replica_is_none_either() -> None:
    assert told_by([[0, 16383, [b"?", 7001, b"id"], node(B)]], ASKED) == Told(None, (B,))


_JUNK = st.recursive(
    st.none() | st.integers() | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


@given(_JUNK)
def test_whatever_a_node_says_it_is_read_or_passed_over(reply: object) -> None:
    told = told_by(reply, ASKED)
    assert all(0 < each.port < 65536 for each in told.nodes)
    assert told.owner is None or told.owner in told.nodes


def resp(value: object) -> bytes:
    match value:
        case int():
            return b":%d\r\n" % value
        case bytes():
            return b"$%d\r\n%s\r\n" % (len(value), value)
        case list():
            return b"*%d\r\n" % len(value) + b"".join(map(resp, value))
    raise TypeError(value)


@asynccontextmanager
async def telling(answer: bytes | None) -> AsyncIterator[SocketAddress]:
    """A node that says this to CLUSTER SLOTS, or nothing to anything."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while header := await reader.readline():
                words = []
                for _ in range(int(header[1:])):
                    length = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(length + 2))[:-2])
                if answer is not None:
                    writer.write(answer if words[0] == b"CLUSTER" else b"+OK\r\n")
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield SocketAddress(*server.sockets[0].getsockname())


def naming(owner: SocketAddress, *others: SocketAddress) -> bytes:
    return resp([[0, 16383, node(owner), *map(node, others)]])


def nodes(*seeds: SocketAddress, patience: float = 5.0) -> Nodes:
    return Nodes(seeds, patience, {"socket_timeout": patience, "socket_connect_timeout": patience}, reason)


async def test_most_are_believed_and_not_who_was_cut_off_with_the_old_owner() -> None:
    async with telling(naming(B)) as old, telling(naming(A)) as one, telling(naming(A)) as other:
        for order in ((old, one, other), (one, old, other), (one, other, old)):
            assert await nodes(*order).owner() == A


async def test_nodes_that_hang_or_are_gone_are_not_waited_for_where_the_rest_agree() -> None:
    async with telling(None) as hanging, telling(naming(A)) as one, telling(naming(A)) as other:
        # An hour: only an answer that does not wait for it comes at all.
        async with asyncio.timeout(30):
            assert await nodes(hanging, one, other, patience=3600.0).owner() == A
        assert await nodes(hanging, one, patience=0.5).owner() == A
        assert await nodes(SocketAddress("127.0.0.1", 1), one).owner() == A


async def test_nodes_that_were_told_of_are_asked_when_those_of_the_url_are_gone() -> None:
    async with telling(naming(A)) as known:
        async with telling(naming(B, known)) as seed:
            search = nodes(seed)
            assert await search.owner() == B
        assert await search.owner() == A


async def test_of_a_large_cluster_not_all_are_asked() -> None:
    heard = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard += 1
        writer.close()

    servers = [await asyncio.start_server(count, "127.0.0.1", 0) for _ in range(MOST_KNOWN + 4)]
    others = [SocketAddress(*each.sockets[0].getsockname()) for each in servers]
    async with telling(naming(A, *others)) as seed:
        search = nodes(seed)
        await search.owner()
        assert await search.owner() == A
    for server in servers:
        server.close()
    assert heard == MOST_KNOWN - 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            b"-ERR This instance has cluster support disabled\r\n",
            "no Redis Cluster: write redis:// in redis.url",
        ),
        (b"-NOPERM No permissions to run the 'cluster|slots' command\r\n", "No permissions to run"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loading the dataset"),
        (resp([]), f"nobody has slot {SLOT}"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "tells where our keys are"),
    ],
)
async def test_why_nobody_tells_is_said(answer: bytes, why: str) -> None:
    async with telling(answer) as one:
        with pytest.raises(RedisConnectionError) as caught:
            await nodes(one, SocketAddress("127.0.0.1", 1)).owner()
    assert why in reason(caught.value)


async def test_a_cluster_that_is_gone_altogether_is_one_short_reason() -> None:
    with pytest.raises(RedisConnectionError) as caught:
        await nodes(*(SocketAddress("127.0.0.1", port) for port in (1, 2))).owner()
    assert str(caught.value) == "no node of the Redis Cluster tells where our keys are: connection refused"


async def test_nodes_that_all_hang_are_a_timeout() -> None:
    async with telling(None) as hanging:
        client = connect(small_fleet(f"redis+cluster://127.0.0.1:{hanging.port}", timeout=0.2).redis)
        try:
            with pytest.raises(Exception) as caught:  # noqa: PT011  (whatever the client makes of it)
                await client.ping()
            assert "timeout" in reason(caught.value)
        finally:
            await disconnect(client)


async def test_a_single_redis_under_a_clusters_url_is_told_in_one_line(redis_server: RedisServer) -> None:
    fleet = serving_fleet(f"redis+cluster://:sesame@127.0.0.1:{redis_server.port}", poll=0.05)
    with redis_server.client() as admin, structlog.testing.capture_logs() as lines:
        admin.execute_command("ACL SETUSER", "default", "resetpass", ">sesame")
        try:
            async with running(fleet, "ns1") as store:
                await eventually(lambda: len(lines) == 1)
                assert store.last_error == "it is no Redis Cluster: write redis:// in redis.url"
                store.observe(observation())
                assert is_up()(store.world)
            with pytest.raises(StoreError, match="it is no Redis Cluster") as caught:
                await oneshot.read_world(fleet, SystemClock())
        finally:
            admin.execute_command("ACL SETUSER", "default", "nopass")
    assert [line["event"] for line in lines] == [AWAY]
    assert "sesame" not in str(caught.value)


@pytest.fixture(scope="module")
def processes() -> Iterator[RedisCluster]:
    directory = Path(tempfile.mkdtemp(prefix="gslb-cluster-"))
    cluster = RedisCluster(find_server_binary(), directory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def cluster(processes: RedisCluster) -> RedisCluster:
    """All its nodes are there; and nothing is in it."""
    processes.mend()
    with processes.client() as client:
        client.flushall()
    return processes


@asynccontextmanager
async def two_nodes(url: str) -> AsyncIterator[tuple[StateStore, StateStore]]:
    fleet = serving_fleet(url, poll=0.2, lease=3.0)
    async with running(fleet, "ns1", publishes_verdicts=True) as one, running(fleet, "ns2") as other:
        await eventually(lambda: one.connected and other.connected)
        one.observe(observation())
        await until(other, is_up())
        yield one, other


async def test_everything_that_a_fleet_writes_finds_its_place(cluster: RedisCluster) -> None:
    async with two_nodes(cluster.url) as (one, other):
        await one.set_override(drain())
        await one.set_override(drain(WWW))
        await until(other, www_is_drained)
        assert await one.propose_intake(EU, STEP)
        await until(other, lambda world: world.region(EU).intake.sequence == 1)
        assert await one.clear_override(EU, "ana", WWW)
        told = {event["kind"] for event in await other.events()}
        assert told >= {"override", "override_cleared", "intake", "verdict", "observer_joined"}
        fleet = serving_fleet(cluster.url)
        assert is_drained(await oneshot.read_world(fleet, SystemClock()))
        async with connected_client(fleet) as client:
            spent = [Spending("api", 0.1, 5, [Client("ana", 1, 0.1)])]
            assert (await spend(client, "edge", spent)).processes == 1
        with cluster.client() as client:
            assert client.hget("{gslb:v1}:override:eu-west", "kind") == "drain"
            assert client.exists(tagged(keys.verdict(EU)), tagged(keys.observation(EU_TARGET, "ns1"))) == 2
            assert all(key.startswith("{gslb:v1}:") for key in client.scan_iter())


async def test_the_permissions_of_the_documents_are_enough(cluster: RedisCluster) -> None:
    text = Path(__file__).parents[2].joinpath("docs", "redis.md").read_text()
    rules = text.partition("ACL SETUSER gslb on >password")[2].partition("```")[0]
    rules = rules.replace("~gslb:v1:*", "~{gslb:v1}:*") + " +cluster|slots"
    for port in cluster.ports:
        with cluster.client(port) as client:
            client.execute_command("ACL SETUSER", "gslb", "on", ">sesame", *rules.split())
    async with two_nodes(cluster.url_for("gslb:sesame@")) as (one, other):
        await one.set_override(drain())
        await until(other, is_drained)
        assert not one.last_error


async def test_keys_are_followed_to_the_node_that_an_operator_makes_primary(cluster: RedisCluster) -> None:
    async with two_nodes(cluster.url) as (one, other):
        await one.set_override(drain())
        with structlog.testing.capture_logs() as lines:
            before = cluster.owner()
            with cluster.client(cluster.replica()) as client:
                client.execute_command("CLUSTER FAILOVER")
            await asyncio.to_thread(cluster.until_others_own, before)
            await eventually(lambda: len(lines) >= 4)
            assert is_drained(one.world)
            assert await one.clear_override(EU, "ana")
            await until(other, lambda world: not is_drained(world))
    assert [line["event"] for line in lines].count(BACK) == 2


@pytest.mark.long
async def test_a_lost_node_is_replaced_and_nobody_needs_to_do_anything(cluster: RedisCluster) -> None:
    async with two_nodes(cluster.url) as (one, other):
        await one.set_override(drain(WWW))
        await until(other, www_is_drained)
        lost = cluster.owner()
        cluster.kill(lost)
        await eventually(lambda: not one.connected and not other.connected)
        assert is_up()(one.world)
        assert www_is_drained(other.world)
        await asyncio.to_thread(cluster.until_others_own, lost)
        await eventually(lambda: one.connected and other.connected)
        assert www_is_drained(one.world)
        await other.set_override(drain())
        await until(one, is_drained)
        assert await one.clear_override(EU, "ana", WWW)
        await until(other, lambda world: not www_is_drained(world))
        with cluster.client() as client:
            await eventually(lambda: bool(client.exists(tagged(keys.observation(EU_TARGET, "ns1")))))


async def test_other_nodes_failures_are_not_noticed(cluster: RedisCluster) -> None:
    async with two_nodes(cluster.url) as (one, other):
        with structlog.testing.capture_logs() as lines:
            cluster.kill(cluster.replica())
            await one.set_override(drain())
            await until(other, is_drained)
            async with running(serving_fleet(cluster.url), "ns3") as third:
                await eventually(lambda: third.connected)
                assert is_drained(third.world)
    assert lines == []
