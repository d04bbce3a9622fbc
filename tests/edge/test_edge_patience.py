"""Whose turn it is, how long it may take, and that no request is ever left without a time limit."""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

import pytest
from edge_bench import Bench
from edge_stage import Seen, Stage, answering, ok, read_message, until

from edge.proxy.proxy import Proxy
from gslb.fleet_edge import Timeouts

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"


class Loop:
    """The running loop, with some of its methods replaced: those of uvloop's cannot be patched."""

    def __init__(self, **replaced: Any) -> None:
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio.get_running_loop(), name)


@pytest.fixture(autouse=True)
def on_the_general_path(stage: Stage) -> None:
    """What is put under it here, the compiled path does not use."""
    stage.compiled = False


def put_under(proxy: Proxy, **replaced: Any) -> None:
    proxy.loop = cast(asyncio.AbstractEventLoop, Loop(**replaced))


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("request_bytes", [GET, POST])
async def test_a_server_that_closes_at_once_is_passed_over_whatever_the_method(
    stage: Stage, request_bytes: bytes
) -> None:
    connected = 0

    async def connect(*arguments: Any, **options: Any) -> Any:
        nonlocal connected
        transport, protocol = await asyncio.get_running_loop().create_connection(*arguments, **options)
        connected += 1
        if connected == 1:
            protocol.eof_received()  # uvloop reads it before the task that connected goes on
        return transport, protocol

    seen = Seen()
    origins = [await stage.origin(answering(ok(), seen)) for _ in range(2)]
    proxy = await stage.one_pool(*origins)
    put_under(proxy, create_connection=connect)
    response = await stage.ask(request_bytes)
    assert (response.status, response.get("x-gslb-server")) == (200, str(origins[1].address))
    assert (len(seen.requests), proxy.counters.retries) == (1, 1)


async def test_whatever_goes_wrong_while_connecting_the_next_server_is_tried(stage: Stage) -> None:
    connected = 0

    async def connect(*arguments: Any, **options: Any) -> Any:
        nonlocal connected
        connected += 1
        if connected == 1:
            raise RuntimeError("nobody thought of this")
        return await asyncio.get_running_loop().create_connection(*arguments, **options)

    origins = [await stage.origin(answering(ok())) for _ in range(2)]
    proxy = await stage.one_pool(*origins)
    put_under(proxy, create_connection=connect)
    assert (await stage.ask(GET)).get("x-gslb-server") == str(origins[1].address)


async def test_a_log_that_cannot_be_written_costs_no_request(stage: Stage) -> None:
    class FullDisk:
        def warning(self, event: str, **details: Any) -> None:
            raise BrokenPipeError(event)

    async def refuse(*arguments: Any, **options: Any) -> Any:
        raise ConnectionRefusedError

    origin = await stage.origin(answering(ok()))
    proxy = await stage.one_pool(origin, origin)
    proxy.complain._log = FullDisk()
    put_under(proxy, create_connection=refuse)
    assert (await stage.ask(GET)).status == 502
    assert proxy.counters.in_flight == 0


async def test_connecting_has_a_limit_even_if_its_own_timers_fail(stage: Stage) -> None:
    def lose(work: Any) -> asyncio.Future[None]:
        work.close()
        return asyncio.get_running_loop().create_future()

    proxy = await stage.one_pool(await stage.origin(never), timeouts=Timeouts(connect=2.0))
    put_under(proxy, create_task=lose)
    reader, writer = await stage.connect()
    writer.write(GET)
    await until(lambda: proxy.counters.requests == 1)
    (connection,) = proxy.connections
    connection.check(proxy.time() + 10.0)
    assert proxy.counters.in_flight == 1
    connection.check(proxy.time() + 13.0)
    assert (await read_message(reader)).status == 504
    assert proxy.counters.in_flight == proxy.pools.by_name["web"].in_flight == 0


def test_a_client_that_takes_its_response_slowly_is_not_cut_off_but_one_that_stops_is() -> None:
    bench = Bench(write_timeout=60.0, timeouts=Timeouts(first_byte=30.0, idle=30.0))
    bench.connection.data_received(b"GET /web HTTP/1.1\r\nHost: a\r\n\r\n")
    bench.upstream.protocol.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    bench.connection.pause_writing()
    for now, unsent in ((0.0, 9000), (50.0, 8000), (100.0, 7000), (150.0, 6000), (209.0, 6000)):
        bench.client.unsent = unsent
        bench.connection.check(now)
    assert not bench.client.closed
    bench.connection.check(211.0)
    assert bench.client.closed
    assert bench.proxy.counters.aborted_by_client == 1


def test_a_client_that_takes_the_rest_slowly_is_not_cut_off_but_one_that_stops_is() -> None:
    bench = Bench(idle_timeout=60.0)
    bench.connection.data_received(b"GET /web HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    bench.upstream.protocol.data_received(ok())
    assert bench.proxy.counters.in_flight == 0
    for now, unsent in ((0.0, 9000), (50.0, 8000), (100.0, 7000), (150.0, 6000), (209.0, 6000)):
        bench.client.unsent = unsent
        bench.connection.check(now)
    assert not bench.client.closed
    bench.connection.check(211.0)
    assert bench.client.closed


@pytest.mark.parametrize("paused", [True, False])
def test_a_server_that_takes_a_body_slowly_is_not_given_up_but_one_that_stops_is(paused: bool) -> None:
    bench = Bench(timeouts=Timeouts(first_byte=30.0, idle=30.0))
    bench.connection.data_received(b"POST /web HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
    if paused:
        bench.upstream.protocol.pause_writing()
    for now, unsent in ((0.0, 9000), (20.0, 8000), (40.0, 7000), (60.0, 6000), (89.0, 6000)):
        bench.upstream.unsent = unsent
        bench.connection.check(now)
    assert bench.client.written == b""
    bench.connection.check(91.0)
    assert bench.client.written.startswith(b"HTTP/1.1 504 ")
    assert bench.server.failures == 1


EXPECTING = b"POST /web HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"


def test_who_was_not_told_to_continue_waits_for_the_server() -> None:
    bench = Bench(timeouts=Timeouts(first_byte=30.0, idle=30.0), body_timeout=10.0, write_timeout=10.0)
    bench.connection.data_received(EXPECTING)
    bench.connection.check(29.0)
    assert bench.client.written == b""
    bench.connection.check(31.0)
    assert bench.client.written.startswith(b"HTTP/1.1 504 ")
    assert bench.server.failures == 1


def test_who_was_told_to_continue_must_do_so() -> None:
    bench = Bench(timeouts=Timeouts(first_byte=30.0, idle=30.0), body_timeout=10.0, write_timeout=10.0)
    bench.connection.data_received(EXPECTING)
    bench.upstream.protocol.data_received(b"HTTP/1.1 100 Continue\r\n\r\n")
    bench.connection.check(11.0)
    assert b"HTTP/1.1 408 " in bench.client.written
    assert bench.server.failures == 0


async def test_connections_that_were_turned_away_take_no_place(stage: Stage) -> None:
    proxy = await stage.one_pool(await stage.origin(answering(ok())), max_connections=1)
    _, writer = await stage.connect()
    await until(lambda: len(proxy.connections) == 1)
    refused, _ = await stage.connect()
    assert (await read_message(refused)).status == 503
    assert len(proxy.connections) == 1
    # One more than may linger hears nothing.
    speechless, _ = await stage.connect()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await read_message(speechless)
    assert proxy.counters.connections_refused == 2
    writer.close()
    await until(lambda: not proxy.connections)
    # The refused one still holds its end open.
    assert (await stage.ask(GET)).status == 200


async def test_every_refusal_has_an_id(stage: Stage) -> None:
    await stage.one_pool(await stage.origin(answering(ok())), max_connections=1)
    ids = set()
    for fields in (b"Host: a b", b"Host: a\r\nExpect: wonders", b"Host"):
        response = await stage.ask(b"GET / HTTP/1.1\r\n%b\r\n\r\n" % fields)
        assert response.status >= 400
        ids.add(response.get("x-request-id"))
        assert response.body.decode().endswith(f"\nrequest {response.get('x-request-id')}\n")
        await until(lambda: not stage.proxy.connections)
    await stage.connect()
    await until(lambda: len(stage.proxy.connections) == 1)
    full, _ = await stage.connect()
    ids.add((await read_message(full)).get("x-request-id"))
    assert len(ids) == 4
    assert all(re.fullmatch("[0-9a-f]{32}", str(each)) for each in ids)
