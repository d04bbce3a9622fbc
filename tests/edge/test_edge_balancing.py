"""How an edge uses balancing: who is asked next, by what key, when backups serve, which times count."""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from math import inf

import pytest
import pytest_asyncio
from edge_stage import REGION, Origin, Stage, answering, make_fleet, ok, read_head, until
from edge_yard import Yard, statuses

from edge.changes import lines
from edge.pool import PoolState
from edge.server import ServerState
from gslb.balancing import (
    Balancing,
    BalancingKey,
    BalancingMethod,
    KeyKind,
    PowerOfTwoOptions,
    ThenOptions,
)
from gslb.config.checks import default_tcp_check
from gslb.fleet import Pool, Route, Server, SocketAddress
from gslb.fleet_edge import Connections, Retries, Timeouts
from gslb.world import Verdict

GET = b"GET /web HTTP/1.1\r\nHost: a\r\n\r\n"
PUT = b"PUT /web HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
ONE_EACH = {"connections": Connections(most=1)}
MakeYard = Callable[..., Yard]


@pytest.fixture
def yard() -> Iterator[MakeYard]:
    made: list[Yard] = []

    def make(servers: str = "abc", **settings: object) -> Yard:
        made.append(Yard(servers, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()
        assert each.all_over()


# Further candidates.


def test_a_retry_takes_nobodys_turn(yard: MakeYard) -> None:
    there = yard("abc")
    there.ask()
    there.refuse("a")
    assert there.going_to() == ["b"]
    there.ask()
    assert there.going_to() == ["b", "b"]


def test_retries_go_along_the_order_of_the_first_choice(yard: MakeYard) -> None:
    there = yard("abcd", methods={"web": BalancingMethod.LEAST_CONNECTIONS})
    for server, requests in zip("dcb", (1, 2, 3), strict=True):
        there.servers[server].own = requests
    client, visited = there.ask(), []
    there.servers["b"].own = 0  # what happens meanwhile changes nothing
    while there.connecting:
        visited += there.going_to()
        there.refuse(visited[-1])
    assert visited == ["a", "d", "c", "b"]
    assert statuses(client) == [502]
    for server in there.servers.values():
        server.own = 0


def test_who_was_passed_over_because_it_was_full_is_waited_for(yard: MakeYard) -> None:
    there = yard("ab", pool=ONE_EACH)
    first = there.ask()
    wire = there.connect("a")
    second = there.ask()
    there.refuse("b")
    assert there.going_to() == []
    assert len(there.pool.waiting) == 1
    there.answer(wire, ok())
    there.answer(wire, ok())
    assert [statuses(first), statuses(second)] == [[200], [200]]


def test_a_server_that_comes_back_while_another_is_tried_is_gone_to(yard: MakeYard) -> None:
    there = yard("ab")
    there.servers["b"].judge(Verdict.DOWN, "test", 0.0)
    client = there.ask()
    there.servers["b"].judge(Verdict.UP, "test", 0.0)
    there.refuse("a")
    there.answer(there.connect("b"), ok())
    assert statuses(client) == [200]


# Backups.


def test_backups_serve_while_nobody_else_can(yard: MakeYard) -> None:
    there = yard("abc", backups="c")
    there.servers["a"].judge(Verdict.DOWN, "test", 0.0)
    there.ask()
    there.ask()
    assert there.going_to() == ["b", "b"]
    there.servers["b"].judge(Verdict.DOWN, "test", 0.0)
    there.ask()
    assert there.going_to() == ["b", "b", "c"]


def test_a_normal_server_that_is_full_or_fails_brings_nothing_to_a_backup(yard: MakeYard) -> None:
    there = yard("ab", backups="b", pool=ONE_EACH)
    first, second = there.ask(), there.ask()
    assert len(there.pool.waiting) == 1
    there.refuse("a")
    assert statuses(first) == [502]
    assert there.going_to() == ["a"]
    there.answer(there.connect("a"), ok())
    assert statuses(second) == [200]


def test_who_waits_for_a_server_that_goes_down_goes_to_the_backup(yard: MakeYard) -> None:
    there = yard("ab", backups="b", pool=ONE_EACH)
    there.ask()
    there.ask()
    there.proxy.pools.judge(there.servers["a"].server.target, Verdict.DOWN, "test", 0.0)
    there.turn()
    assert there.going_to() == ["a", "b"]


@pytest.mark.parametrize(
    ("most", "declared", "expected"), [(None, None, inf), (4, None, 4), (4, 9, 9), (9, 4, 4), (None, 4, 4)]
)
def test_a_bound_of_a_servers_own_beats_the_pools_and_every_process_has_it(
    most: int | None, declared: int | None, expected: float
) -> None:
    server = Server(REGION, "web", SocketAddress("a", 80), max_connections=declared)
    pool = Pool("web", Balancing(), default_tcp_check(), Connections(most=most))
    (state,) = PoolState(pool, (server,)).servers
    column = memoryview(array("q", [0]))
    assert state.max_in_flight == expected
    state.share(0, column, (column, column))  # one of three that serve
    assert state.max_in_flight == 3 * expected
    state.share(0, None, (column, column))  # who counts two that serve
    assert state.max_in_flight == 2 * expected
    state.use(server, Connections(most=1))
    assert state.max_in_flight == 2 * (declared or 1)


def test_what_changes_of_methods_keys_and_servers_is_told() -> None:
    a = SocketAddress("10.0.0.1", 80)
    hashed, key = {"web": BalancingMethod.IP_HASH}, {"key": BalancingKey(KeyKind.PATH)}
    before = make_fleet({"web": [a]})
    after = make_fleet({"web": [(a, 2, True, 5)]}, methods=hashed, pool=key)
    (edge,) = before.regions[REGION].edges
    assert list(lines(before, edge, after, edge)) == [
        "~ pool web: method, key",
        "~ server 10.0.0.1:80 of pool web: weight 1 → 2, backup, max_connections",
    ]


# Response times.


def seconds(there: Yard, server: str = "a") -> object:
    """As they were told: only moments have passed since."""
    return pytest.approx(there.servers[server].response_time, abs=0.01)


def test_a_response_time_is_from_the_choice_of_the_server_to_the_first_byte(yard: MakeYard) -> None:
    there = yard("ab")
    there.ask()
    assert there.servers["a"].response_time is None
    there.now = 1.0
    wire = there.connect("a")
    there.now = 3.0
    there.answer(wire, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    there.now = 9.0
    there.answer(wire, b"ok")
    assert seconds(there) == 3.0


def test_time_at_another_server_and_in_the_queue_is_not_counted(yard: MakeYard) -> None:
    there = yard("ab", pool=ONE_EACH)
    there.ask()
    wire = there.connect("a")
    there.ask()
    there.now = 2.0
    there.refuse("b")
    there.answer(wire, ok())
    there.now = 4.5
    there.answer(wire, ok())
    assert seconds(there) == 2.5


def test_a_client_that_is_slow_to_send_does_not_make_the_server_slow(yard: MakeYard) -> None:
    there = yard("a")
    client = there.ask(PUT)
    wire = there.connect("a")
    there.now = 8.0
    there.send(client, b"hi")
    there.now = 8.5
    there.answer(wire, ok())
    assert seconds(there) == 0.5


def test_failures_count_as_slow_however_quick_they_are(yard: MakeYard) -> None:
    there = yard("abc", retries=Retries(on=frozenset((503,))))
    there.ask()
    there.refuse("a")
    there.answer(there.connect("b"), BUSY)  # which is repeated elsewhere
    there.end(there.connect("c"))
    for server in "abc":
        assert seconds(there, server) == 1.0


def test_a_server_that_closes_an_idle_connection_has_not_failed(yard: MakeYard) -> None:
    there = yard("a")
    client = there.ask(GET)
    there.answer(there.connect("a"), ok())
    there.send(client, GET)
    there.end(there.wires[0][1])
    assert there.going_to() == ["a"]
    assert seconds(there) == 0.0
    there.answer(there.connect("a"), ok())


def test_who_says_nothing_until_time_is_over_is_slow(yard: MakeYard) -> None:
    there = yard("a", timeouts=Timeouts(first_byte=60.0, total=5.0))
    client = there.ask()
    there.connect("a")
    there.wait(6.0)
    assert statuses(client) == [504]
    assert seconds(there) == 6.0


# Both paths through the edge.


@pytest_asyncio.fixture(params=[True, False], ids=["compiled", "general"])
async def either(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[Stage]:
    stage.compiled = request.param
    yield stage


async def origins(stage: Stage, *responses: bytes) -> list[Origin]:
    return [await stage.origin(answering(response)) for response in responses]


async def served(stage: Stage, *requests: bytes) -> list[str | None]:
    """By which server each request was answered, one after the other on a connection of its own."""
    return [(await stage.ask(request)).get("x-gslb-server") for request in requests]


def with_fields(*fields: str, target: str = "/web") -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode()


@pytest.mark.parametrize(
    ("key", "request_of"),
    [
        (BalancingKey(KeyKind.HEADER, "x-user"), lambda user: with_fields(f"X-User: {user}")),
        (
            BalancingKey(KeyKind.COOKIE, "user"),
            lambda user: with_fields("Cookie: a=b", f"Cookie: user={user}"),
        ),
        (BalancingKey(KeyKind.QUERY, "user"), lambda user: with_fields(target=f"/web?user={user}")),
        (BalancingKey(KeyKind.PATH), lambda user: with_fields(target=f"/{user}")),
    ],
    ids=["header", "cookie", "query", "path"],
)
@pytest.mark.parametrize("method", [BalancingMethod.IP_HASH, BalancingMethod.CONSISTENT_HASH])
async def test_users_of_one_address_are_told_apart_by_the_key(
    either: Stage, method: BalancingMethod, key: BalancingKey, request_of: Callable[[int], bytes]
) -> None:
    three = await origins(either, *[ok()] * 3)
    await either.one_pool(*three, methods={"web": method}, pool={"key": key})
    requests = [request_of(user) for user in range(20)]
    first = await served(either, *requests)
    assert await served(either, *requests) == first
    assert len(set(first)) > 1


async def test_clients_without_the_key_go_by_their_address(either: Stage) -> None:
    three = await origins(either, *[ok()] * 3)
    by_cookie = {"key": BalancingKey(KeyKind.COOKIE, "user")}
    await either.one_pool(*three, methods={"web": BalancingMethod.IP_HASH}, pool=by_cookie)
    without = await served(either, *[GET] * 5)
    assert len(set(without)) == 1


@pytest.mark.parametrize(
    "method",
    [
        Balancing(BalancingMethod.LEAST_RESPONSE_TIME),
        Balancing(BalancingMethod.POWER_OF_TWO, PowerOfTwoOptions(response_time=True)),
        Balancing(
            BalancingMethod.THEN,
            ThenOptions(
                first=Balancing(BalancingMethod.LEAST_RESPONSE_TIME),
                second=Balancing(BalancingMethod.ROUND_ROBIN),
            ),
        ),
    ],
    ids=lambda method: method.name.value,
)
async def test_a_server_that_fails_fast_draws_no_traffic(either: Stage, method: Balancing) -> None:
    proxy = await either.one_pool(*await origins(either, BUSY, ok(), ok()), methods={"web": method})
    answered = Counter([(await either.ask(GET)).status for _ in range(60)])
    assert answered[503] <= 3
    failing, *working = proxy.pools.by_name["web"].servers
    assert failing.response_time is not None
    assert all(server.response_time < failing.response_time for server in working if server.response_time)


async def test_a_server_that_stops_in_the_middle_of_a_response_has_failed(
    either: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = []
    monkeypatch.setattr(ServerState, "failed", lambda server, seconds, **how: failed.append(server))

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha")
        await writer.drain()

    proxy = await either.one_pool(await either.origin(half))
    reader, writer = await either.connect()
    writer.write(GET)
    with contextlib.suppress(ConnectionError):
        await reader.read()
    await until(lambda: bool(failed))
    assert failed == list(proxy.pools.by_name["web"].servers)


async def test_one_server_is_filled_after_another(either: Stage) -> None:
    released: list[bool] = []

    async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await until(lambda: bool(released))
        writer.write(ok())
        await writer.drain()

    three = [await either.origin(held) for _ in range(3)]
    declared = [(origin.address, 1, False, most) for origin, most in zip(three, (2, 1, 9), strict=True)]
    fleet = make_fleet(
        {"web": declared},
        routes=[Route(None, "/", "web")],
        methods={"web": BalancingMethod.FIRST_AVAILABLE},
    )
    proxy = await either.serve(fleet)
    clients = []
    for count in range(1, 6):
        reader, writer = await either.connect()
        writer.write(GET)
        clients.append(reader)
        await until(lambda count=count: proxy.pools.by_name["web"].in_flight == count)  # type: ignore[misc]
    assert [server.in_flight for server in proxy.pools.by_name["web"].servers] == [2, 1, 2]
    released.append(True)
    for reader in clients:
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"


async def test_a_backup_serves_once_the_others_are_down(either: Stage) -> None:
    normal, backup = await origins(either, ok(), ok())
    fleet = make_fleet({"web": [normal.address, (backup.address, 1, True)]}, routes=[Route(None, "/", "web")])
    proxy = await either.serve(fleet)
    assert set(await served(either, *[GET] * 4)) == {str(normal.address)}
    proxy.pools.judge(f"{REGION}/web/{normal.address}", Verdict.DOWN, "test", 0.0)
    assert set(await served(either, *[GET] * 4)) == {str(backup.address)}


async def test_a_repeated_request_goes_on_where_its_first_choice_pointed_to(either: Stage) -> None:
    busy, *free = await origins(either, BUSY, ok(), ok())
    await either.one_pool(busy, *free, retries=Retries(on=frozenset((503,))))
    first, second = (str(origin.address) for origin in free)
    assert await served(either, GET, GET, GET) == [first, first, second]


async def test_a_refused_request_goes_on_where_its_first_choice_pointed_to(either: Stage) -> None:
    dead, *alive = await origins(either, ok(), ok(), ok())
    await dead.kill()
    await either.one_pool(dead, *alive)
    first, second = (str(origin.address) for origin in alive)
    assert await served(either, GET, GET, GET) == [first, first, second]
