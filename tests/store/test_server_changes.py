"""An operator's word on a server goes through Redis: exactly, beside what was said before, until its end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis_process import RedisServer
from small_fleet import small_fleet
from stores import EU, NEVER, connected_client, eventually

from gslb.clock import SystemClock
from gslb.errors import StoreError
from gslb.fleet import ServerMode, SocketAddress
from gslb.server_change import ServerChange
from gslb.store import keys, oneshot
from gslb.store.codec import LONGEST_VALUE
from gslb.store.codec_servers import SAYING, decode_server_change, encode_server_change
from gslb.store.server_changes import (
    ServerChanges,
    clear_server_change,
    read_server_changes,
    write_server_change,
)
from gslb.store.state import StateStore

NOW = 1_800_000_000.0
A, B = SocketAddress("10.0.0.7", 9001), SocketAddress("::1", 80)
DRAIN = ServerChange(EU, "web", A, ServerMode.DRAIN, by="ana@desk", reason="new disks", since=NOW)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True)
MOMENT = st.integers(0, 2**41).map(lambda ms: ms / 1000)
CHANGES = st.builds(
    ServerChange,
    region=NAMES,
    pool=NAMES,
    address=st.sampled_from((A, B, SocketAddress("web.internal", 1))),
    mode=st.none() | st.sampled_from(ServerMode),
    weight=st.none() | st.integers(1, 10_000),
    added=st.booleans(),
    removed=st.booleans(),
    by=TEXT,
    reason=TEXT,
    since=MOMENT,
    until=st.none() | MOMENT,
)


@given(CHANGES)
def test_changes_come_back(change: ServerChange) -> None:
    assert decode_server_change(encode_server_change(change)) == change


def test_a_person_can_read_one() -> None:
    assert encode_server_change(replace(DRAIN, until=NOW + 60, weight=5, added=True)) == {
        "region": "eu-west",
        "pool": "web",
        "address": "10.0.0.7:9001",
        "by": "ana@desk",
        "reason": "new disks",
        "since": "2027-01-15T08:00:00.000Z",
        "mode": "drain",
        "until": "2027-01-15T08:01:00.000Z",
        "weight": "5",
        "added": "yes",
    }


@given(
    st.dictionaries(
        st.sampled_from([*encode_server_change(DRAIN), *SAYING]) | st.text(max_size=8),
        st.text(max_size=20) | st.sampled_from(["drain", "yes", "9" * 5000, "nan", "10.0.0.7:9001"]),
    )
)
def test_garbage_is_nothing_and_no_error(fields: dict[str, str]) -> None:
    change = decode_server_change(encode_server_change(DRAIN) | fields)
    assert change is None or isinstance(change, ServerChange)
    decode_server_change(fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "DRAIN"),
        ("weight", "0"),
        ("weight", "10001"),
        ("weight", "much"),
        ("added", "perhaps"),
        ("address", "10.0.0.7"),
        ("pool", "a/b"),
        ("until", "soon"),
        ("reason", "x" * (LONGEST_VALUE + 1)),
    ],
)
def test_illegible_fields_make_it_nothing(field: str, value: str) -> None:
    assert decode_server_change(encode_server_change(DRAIN) | {field: value}) is None


async def test_what_is_said_of_one_thing_leaves_the_others(redis_server: RedisServer) -> None:
    async with connected_client(small_fleet(redis_server.url)) as client:

        async def stands() -> list[ServerChange]:
            found, unreadable = await read_server_changes(client, EU)
            assert unreadable == {}
            return list(found)

        async def say(change: ServerChange) -> None:
            await write_server_change(client, change, NOW)

        assert await stands() == []
        await say(replace(DRAIN, until=NOW + 60))
        assert await stands() == [replace(DRAIN, until=NOW + 60)]
        weight = ServerChange(EU, "web", A, weight=5, by="bo", since=NOW + 1)
        await say(weight)
        both = replace(weight, mode=ServerMode.DRAIN, until=NOW + 60)
        assert await stands() == [both]
        await say(replace(DRAIN, address=B))
        assert await stands() == [both, replace(DRAIN, address=B)]
        await say(replace(DRAIN, mode=ServerMode.MAINTENANCE))
        assert (await stands())[0] == replace(DRAIN, mode=ServerMode.MAINTENANCE, weight=5)
        await clear_server_change(client, DRAIN, ("mode", "until"), NOW)
        assert (await stands())[0].mode is None
        assert (await stands())[0].weight == 5
        await clear_server_change(client, DRAIN, SAYING, NOW)
        assert await stands() == [replace(DRAIN, address=B)]
        kinds = [fields[b"kind"] for _, fields in await client.xrange(keys.EVENTS)]
        assert kinds == [b"server"] * 4 + [b"server_cleared"] * 2


async def test_maintenance_with_an_end_ends_by_itself_but_not_a_weight_or_a_drain(
    redis_server: RedisServer,
) -> None:
    now = SystemClock().now()
    rest = ServerChange(EU, "web", A, ServerMode.MAINTENANCE, since=now, until=now + 0.05)
    async with connected_client(small_fleet(redis_server.url)) as client:
        for address in (A, B):
            await write_server_change(client, replace(rest, address=address), now)
        await write_server_change(client, ServerChange(EU, "web", B, weight=2), now)
        await write_server_change(client, replace(rest, pool="cart", mode=ServerMode.DRAIN), now)
        with redis_server.client() as plain:
            await eventually(lambda: not plain.exists(keys.server(EU, f"web/{A}")))
        found, _ = await read_server_changes(client, EU)
        assert [(each.pool, each.address, each.weight) for each in found] == [
            ("cart", A, None),
            ("web", B, 2),
        ]
        # The index forgets what has ended when the next word is written.
        await write_server_change(client, ServerChange(EU, "web", B, weight=3), now)
        assert await client.zcard(keys.servers(EU)) == 2


async def test_garbage_in_redis_is_passed_over_and_named(redis_server: RedisServer) -> None:
    async with connected_client(small_fleet(redis_server.url)) as client:
        await write_server_change(client, DRAIN, NOW)
        await write_server_change(client, replace(DRAIN, address=B), NOW)
        await client.hset(keys.server(EU, f"web/{B}"), "pool", "other")
        await client.zadd(keys.servers(EU), {"web/text": 1e18, "web/gone": 1e18, b"\xff": 1e18})
        await client.set(keys.server(EU, "web/text"), "x")
        found, unreadable = await read_server_changes(client, EU)
        assert found == (DRAIN,)
        assert set(unreadable) == {keys.server(EU, f"web/{B}"), keys.server(EU, "web/text")}
        await client.set(keys.servers("us-east"), "x")
        assert await read_server_changes(client, "us-east") == (
            (),
            {keys.servers("us-east"): "it is not a sorted set"},
        )


async def test_an_edge_hears_of_its_own_region_by_nudge_alone_and_a_node_of_none(
    redis_server: RedisServer,
) -> None:
    fleet = small_fleet(redis_server.url, poll=NEVER)
    mine, theirs = ServerChanges(EU), ServerChanges("us-east")
    told: list[str] = []
    mine.subscribe(lambda: told.append("mine"))
    theirs.subscribe(lambda: told.append("theirs"))
    stores = [
        StateStore(fleet, name, SystemClock(), servers=changes)
        for name, changes in (("one", mine), ("two", theirs), ("ns1", None))
    ]
    for store in stores:
        await store.start()
    try:
        clock = SystemClock()
        await oneshot.change_server(fleet, clock, DRAIN)
        await eventually(lambda: mine.held == (DRAIN,))
        await oneshot.clear_server(fleet, clock, DRAIN)
        await eventually(lambda: mine.held == ())
        assert theirs.held == ()
        assert set(told) == {"mine"}
    finally:
        for store in stores:
            await store.stop()


async def test_what_was_heard_last_holds_while_redis_is_away_and_is_given_back_if_it_forgot(
    redis_server: RedisServer,
) -> None:
    fleet = small_fleet(redis_server.url, poll=0.05, timeout=0.3)
    changes = ServerChanges(EU)
    store = StateStore(fleet, "one", SystemClock(), servers=changes)
    rest = ServerChange(EU, "web", B, ServerMode.MAINTENANCE, since=NOW, until=SystemClock().now() + NEVER)
    await oneshot.change_server(fleet, SystemClock(), DRAIN)
    await oneshot.change_server(fleet, SystemClock(), rest)
    await store.start()
    try:
        before = changes.held
        assert [each.address for each in before] == [A, B]
        redis_server.kill()
        await eventually(lambda: not store.connected)
        assert changes.held == before
        redis_server.start()
        await eventually(lambda: store.connected)
        assert changes.held == before
        assert (await oneshot.read_servers(fleet, [EU])).changes == before
        with redis_server.client() as client:
            assert client.pttl(keys.server(EU, f"web/{A}")) == -1
            assert 0 < client.pttl(keys.server(EU, f"web/{B}")) <= NEVER * 1000
        await oneshot.clear_server(fleet, SystemClock(), DRAIN)
        await oneshot.clear_server(fleet, SystemClock(), rest)
        await eventually(lambda: changes.held == ())
    finally:
        await store.stop()


async def test_a_word_that_nobody_could_read_is_refused(redis_server: RedisServer) -> None:
    fleet = small_fleet(redis_server.url)
    with pytest.raises(StoreError, match="keep texts under"):
        await oneshot.change_server(fleet, SystemClock(), replace(DRAIN, reason="x" * 5000))
    assert (await oneshot.read_servers(fleet, [EU])).changes == ()


@given(st.text(max_size=40))
def test_only_a_servers_key_tells_of_a_region(key: str) -> None:
    assert keys.server_region_of(key) is None
    assert keys.server_region_of(keys.server("eu-west", "web/[::1]:80")) == "eu-west"
    assert keys.server_region_of(keys.servers("eu-west")) is None
