"""Routes that try slow requests twice: who answers first is heard, and never more than the budget allows."""

from __future__ import annotations

import asyncio

import pytest
from edge_stage import Handler, Seen, Stage, answering, make_fleet, ok, read_message

from gslb.fleet import BalancingMethod, Hedge, Route

pytestmark = [pytest.mark.asyncio, pytest.mark.production_loop]
AT_ONCE = Hedge(delay=0.01, share=1.0)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"


def silent(seen: Seen, released: asyncio.Event, response: bytes) -> Handler:
    """Answers only once it is released."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.requests.append(await read_message(reader))
            await released.wait()
            writer.write(response)

    return handle


async def two(stage: Stage, *handlers: Handler, hedge: Hedge = AT_ONCE) -> None:
    """The first server of the file is asked first."""
    origins = [await stage.origin(handler) for handler in handlers]
    await stage.serve(
        make_fleet(
            {"web": [each.address for each in origins]},
            methods={"web": BalancingMethod.FIRST_AVAILABLE},
            routes=[Route(None, "/", "web", hedge=hedge)],
        )
    )


async def test_the_second_server_answers_for_a_slow_first(stage: Stage) -> None:
    first, second, released = Seen(), Seen(), asyncio.Event()
    await two(stage, silent(first, released, ok(b"slow")), answering(ok(b"quick"), second))

    answer = await stage.ask(GET)

    assert (answer.status, answer.body) == (200, b"quick")
    assert len(first.requests) == len(second.requests) == 1
    assert first.requests[0].get("x-request-id") == second.requests[0].get("x-request-id")
    assert stage.proxy.counters.hedged == 1
    assert [server.in_flight for server in stage.proxy.pools.servers.values()] == [0, 0]


async def test_the_first_server_answers_after_all(stage: Stage) -> None:
    first, second, released = Seen(), Seen(), asyncio.Event()
    both = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        second.requests.append(await read_message(reader))
        both.set()
        assert await reader.read() == b""  # it is given up

    await two(stage, silent(first, released, ok(b"first")), hold)
    asked = asyncio.create_task(stage.ask(GET))
    await both.wait()
    released.set()

    assert (await asked).body == b"first"
    assert [server.in_flight for server in stage.proxy.pools.servers.values()] == [0, 0]


async def test_the_second_try_stands_for_the_retry_of_a_first_that_dies(stage: Stage) -> None:
    first, second = Seen(), Seen()
    both, released = asyncio.Event(), asyncio.Event()

    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.requests.append(await read_message(reader))
        await both.wait()
        writer.transport.abort()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        second.requests.append(await read_message(reader))
        both.set()
        await released.wait()
        writer.write(ok(b"late"))

    await two(stage, dying, late)
    asked = asyncio.create_task(stage.ask(GET))
    await both.wait()
    while next(iter(stage.proxy.pools.servers.values())).in_flight:
        await asyncio.sleep(0)
    released.set()

    assert (await asked).body == b"late"
    assert len(second.requests) == 1


async def test_a_second_server_that_fails_takes_nothing_from_the_first(stage: Stage) -> None:
    seen, released = Seen(), asyncio.Event()

    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.transport.abort()
        released.set()

    await two(stage, silent(seen, released, ok(b"first")), broken)

    assert (await stage.ask(GET)).body == b"first"
    assert stage.proxy.counters.hedged == 1


async def test_what_is_not_idempotent_is_tried_once(stage: Stage) -> None:
    first, second, released = Seen(), Seen(), asyncio.Event()
    await two(stage, silent(first, released, ok()), answering(ok(), second))
    asked = asyncio.create_task(stage.ask(POST))
    while not first.requests:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)  # much longer than the delay
    released.set()
    await asked

    assert second.requests == []


async def test_a_client_that_leaves_ends_both(stage: Stage) -> None:
    first, second, released = Seen(), Seen(), asyncio.Event()
    await two(stage, silent(first, released, ok()), silent(second, released, ok()))
    _, writer = await stage.connect()
    writer.write(GET)
    while not second.requests:
        await asyncio.sleep(0.005)
    writer.transport.abort()
    while any(server.in_flight for server in stage.proxy.pools.servers.values()):
        await asyncio.sleep(0.005)

    assert stage.proxy.counters.in_flight == 0
