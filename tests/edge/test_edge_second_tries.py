"""Second tries take no place from first ones, and are taken for what they are: nobody asked for them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest
from edge_stage import Handler, Message, Seen, Stage, answering, make_fleet, ok, read_message, until

from edge.proxy.proxy import Proxy
from edge.server import ServerState
from gslb.fleet import BalancingMethod, ConcurrencyLimit, Hedge, Route, Secret, Sticky
from gslb.fleet_edge import Connections, QueueSettings, Retries

pytestmark = [pytest.mark.asyncio, pytest.mark.production_loop]
AT_ONCE = Hedge(delay=0.01, share=1.0)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LATER = b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


def silent(seen: Seen, released: asyncio.Event, response: bytes) -> Handler:
    """Answers only once it is released."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.requests.append(await read_message(reader))
            await released.wait()
            writer.write(response)

    return handle


async def two(stage: Stage, *handlers: Handler, retries: Collection[int] = (), **pool: Any) -> Proxy:
    """The first server of the file is asked first. retries: on which statuses. pool: its settings.

    For `delays_are_over` there is another pool, whose first server never answers.
    """
    web = [(await stage.origin(handler)).address for handler in handlers]
    never = silent(Seen(), asyncio.Event(), b"")
    later = [(await stage.origin(handler)).address for handler in (never, answering(ok(b"later")))]
    route = Route(None, "/", "web", hedge=AT_ONCE, retries=Retries(on=frozenset(retries)))
    return await stage.serve(
        make_fleet(
            {"web": web, "later": later},
            methods=dict.fromkeys(("web", "later"), BalancingMethod.FIRST_AVAILABLE),
            routes=[Route(None, "/later", "later", hedge=AT_ONCE), route],
            pool=pool,
        )
    )


async def delays_are_over(stage: Stage) -> None:
    """A request that came after all others has had its second try; so theirs were due, too."""
    assert (await stage.ask(LATER)).body == b"later"


def servers(proxy: Proxy) -> tuple[ServerState, ...]:
    return proxy.pools.by_name["web"].servers


async def asked_in_vain(stage: Stage, proxy: Proxy, released: asyncio.Event, hedged: int = 1) -> Message:
    """The answer to a request whose second try, the edge's `hedged`th, ends before the first is released."""
    asked = asyncio.create_task(stage.ask(GET))
    await until(lambda: proxy.counters.hedged == hedged and not servers(proxy)[1].in_flight)
    released.set()
    return await asked


async def test_an_upgrade_is_tried_once(stage: Stage) -> None:
    first, second, released = Seen(), Seen(), asyncio.Event()
    proxy = await two(stage, silent(first, released, SWITCHED), silent(second, released, SWITCHED))
    reader, writer = await stage.connect()
    writer.write(UPGRADE)
    await until(lambda: len(first.requests) == 1)
    await delays_are_over(stage)
    released.set()

    assert (await read_message(reader)).status == 101
    assert second.requests == []
    assert [server.failures for server in servers(proxy)] == [0, 0]
    writer.close()


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_an_answer_that_nobody_wants_leaves_it_to_the_first(stage: Stage, status: int) -> None:
    refusal = b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status
    second, released = Seen(), asyncio.Event()
    handlers = silent(Seen(), released, ok(b"first")), answering(refusal, second)
    proxy = await two(stage, *handlers, retries=[429])

    answer = await asked_in_vain(stage, proxy, released)

    assert (answer.status, answer.body) == (200, b"first")
    assert len(second.requests) == 1
    standing = servers(proxy)[1].standing
    assert (standing.failures, standing.unanswered) == (1, 0)


async def test_an_answer_404_is_as_good_as_any(stage: Stage) -> None:
    released = asyncio.Event()
    missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    await two(stage, silent(Seen(), released, ok()), answering(missing))

    assert (await stage.ask(GET)).status == 404


@pytest.mark.parametrize(
    "bound",
    [
        {"connections": Connections(most=1), "queue": QueueSettings(size=1, timeout=5.0)},
        {"concurrency": ConcurrencyLimit(most=2)},
    ],
    ids=lambda bound: next(iter(bound)),
)
async def test_where_there_is_no_room_it_is_not_waited_for(stage: Stage, bound: dict[str, Any]) -> None:
    seen, released = Seen(), asyncio.Event()
    proxy = await two(stage, *[silent(seen, released, ok(b"good"))] * 2, **bound)
    asked = [asyncio.create_task(stage.ask(GET)) for _ in range(2)]
    await until(lambda: len(seen.requests) == 2)
    await delays_are_over(stage)

    pool = proxy.pools.by_name["web"]
    assert proxy.counters.hedged == 1  # the one that came later, elsewhere
    assert (pool.own, len(pool.waiting)) == (2, 0)
    if "queue" in bound:
        asked.append(asyncio.create_task(stage.ask(GET)))
        await until(lambda: len(pool.waiting) == 1)
    released.set()
    assert {(await each).body for each in asked} == {b"good"}


async def test_a_kept_connection_that_has_ended_says_nothing_about_the_second_server(stage: Stage) -> None:
    first, second, released = Seen(), Seen(), asyncio.Event()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        second.requests.append(await read_message(reader))
        writer.write(ok(b"second"))
        second.requests.append(await read_message(reader))

    proxy = await two(stage, silent(first, released, ok(b"first")), once)
    assert (await stage.ask(GET)).body == b"second"
    assert (await asked_in_vain(stage, proxy, released, hedged=2)).body == b"first"

    server = servers(proxy)[1]
    assert (len(second.requests), server.opened) == (2, 1)
    assert (server.failures, server.standing.failures) == (0, 0)


async def test_a_second_server_that_is_quicker_does_not_get_the_client(stage: Stage) -> None:
    first, quick = Seen(), asyncio.Event()
    quick.set()
    sticky = Sticky("kept", Secret("a secret of the fleet"))
    await two(stage, silent(first, quick, ok(b"first")), answering(ok(b"second")), sticky=sticky)
    answer = await stage.ask(GET)
    cookie = str(answer.get("set-cookie")).partition(";")[0]
    kept = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: %b\r\n\r\n" % cookie.encode()
    assert answer.body == b"first"

    quick.clear()
    answer = await stage.ask(kept)
    assert (answer.body, answer.get("set-cookie")) == (b"second", None)

    quick.set()
    assert (await stage.ask(kept)).body == b"first"
