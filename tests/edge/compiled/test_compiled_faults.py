"""Whoever leaves, breaks or does not read while the compiled path serves costs nobody else anything."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator

import pytest
from compiled_scene import (
    GET,
    Pausing,
    ask_on,
    at_rest,
    back,
    compiled,
    compiled_ones,
    only,
    reset,
)
from compiled_states import (
    BEGUN,
    BIG,
    CODED,
    HEAD,
    QUIET,
    RESPONSES,
    TAKEN_WHOLE,
    bring_to,
    read_all,
    read_until_served,
)
from edge_stage import Seen, Stage, answering, ok, read_message, until

from edge.proxy.downstream import LINGER
from gslb.fleet_edge import Connections, QueueSettings

MOST_HELD = 512 * 1024


@pytest.fixture
def stage(stage: Stage) -> Stage:
    return compiled(stage)


@pytest.fixture
def held() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


LEAVE: dict[str, Callable[[asyncio.StreamWriter], None]] = {
    "closes": lambda writer: writer.transport.abort(),
    "says that it is done": lambda writer: writer.write_eof(),
    "resets": reset,
}


@pytest.mark.parametrize("how", LEAVE)
@pytest.mark.parametrize("state", [*QUIET, *RESPONSES])
async def test_a_client_that_leaves_frees_its_server(
    stage: Stage, held: contextlib.ExitStack, state: str, how: str
) -> None:
    scene = await bring_to(state, stage, held)
    LEAVE[how](scene.writer)
    await scene.gone()
    counters = scene.proxy.counters
    assert counters.requests == (state != "in a request")
    assert counters.aborted_by_client == (state in RESPONSES)
    assert counters.aborted_by_server == 0
    if state == "connecting":
        return
    scene.server.going_on.set()
    reader, writer = await stage.connect()
    writer.write(GET)
    assert (await read_message(reader)).status == 200


@pytest.mark.parametrize("state", BEGUN)
async def test_a_server_that_breaks_off_in_its_response_ends_the_clients_connection(
    stage: Stage, held: contextlib.ExitStack, state: str
) -> None:
    scene = await bring_to(state, stage, held)
    scene.server.reset()
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            while await scene.reader.read(65536):
                pass
    await scene.gone()
    counters = scene.proxy.counters
    assert (counters.aborted_by_server, counters.aborted_by_client) == (1, 0)
    assert counters.responses == {200: 1}
    assert scene.proxy.pools.by_name["web"].servers[0].failures == 1


async def test_a_server_that_breaks_off_before_its_response_is_a_502(
    stage: Stage, held: contextlib.ExitStack
) -> None:
    scene = await bring_to("waiting", stage, held)
    scene.server.reset()
    response = await read_message(scene.reader)
    assert (response.status, b"before it answered" in response.body) == (502, True)
    await back(scene.proxy, 1)
    assert at_rest(scene.proxy)
    assert scene.proxy.pools.by_name["web"].servers[0].failures == 1


async def test_an_idle_connection_that_is_reset_is_forgotten(
    stage: Stage, held: contextlib.ExitStack
) -> None:
    scene = await bring_to("idle", stage, held)
    server = scene.proxy.pools.by_name["web"].servers[0]
    assert len(server.idle) == 1
    scene.server.reset()
    await until(lambda: not server.idle)
    assert await ask_on(scene.reader, scene.writer, GET) == 200
    assert server.failures == 0


async def test_a_client_that_leaves_while_it_is_handed_over_leaves_its_place_to_who_waits(
    stage: Stage,
) -> None:
    pausing = Pausing(b"", ok())
    options = {"connections": Connections(most=1), "queue": QueueSettings(timeout=60.0)}
    proxy = await stage.one_pool(await stage.origin(pausing.handler), pool=options)
    leaving = socket.create_connection(("127.0.0.1", stage.port))
    leaving.setblocking(False)
    leaving.sendall(GET)
    await until(lambda: pausing.asked == 1)
    reader, writer = await stage.connect()
    writer.write(GET)
    await until(lambda: len(proxy.pools.by_name["web"].waiting) == 1)
    # Both are there when the edge looks the next time, the server's word first.
    connection = pausing.writers[0].get_extra_info("socket")
    os.write(connection.fileno(), b"HTTP/1.1 103 Early Hints\r\n\r\n")
    leaving.close()
    pausing.going_on.set()
    assert (await read_message(reader)).status == 200
    await until(lambda: at_rest(proxy) and len(proxy.connections) == 1)
    assert proxy.counters.requests == 2
    assert proxy.counters.aborted_by_client == 1


@pytest.mark.parametrize(
    ("state", "limit"), [("idle", "idle_timeout"), ("not read", "write_timeout"), ("lingering", None)]
)
async def test_a_client_that_does_nothing_for_too_long_has_left(
    stage: Stage, held: contextlib.ExitStack, state: str, limit: str | None
) -> None:
    scene = await bring_to(state, stage, held)
    proxy = scene.proxy
    seconds = LINGER if limit is None else getattr(proxy.settings, limit)
    only(proxy).check(proxy.time() + seconds - 1.0)
    assert proxy.connections
    only(proxy).check(proxy.time() + seconds + 0.1)
    await scene.gone()
    assert proxy.counters.aborted_by_client == (state == "not read")
    assert proxy.counters.aborted_by_server == 0


# Nobody reads.


async def test_what_a_client_does_not_read_waits_at_its_server(
    stage: Stage, held: contextlib.ExitStack
) -> None:
    scene = await bring_to("not read", stage, held)
    (client,) = compiled_ones(scene.proxy)
    (server,) = scene.server.writers
    for _ in range(100):
        await asyncio.sleep(0)
        assert 0 < client.held < MOST_HELD
    assert server.transport.get_write_buffer_size() > 0
    scene.server.going_on.set()
    assert (await read_message(scene.reader)).body == BIG
    await until(lambda: at_rest(scene.proxy) and client.held == 0)


async def test_what_a_client_sends_while_it_reads_nothing_waits_at_the_client(stage: Stage) -> None:
    seen = Seen()
    proxy = await stage.one_pool(await stage.origin(answering(ok(b"x" * 100_000), seen)))
    reader, writer = await stage.connect()
    count = 2000
    writer.write(GET.replace(b"Host", b"X-Long: %b\r\nHost" % (b"v" * 4000)) * count)
    await until(lambda: bool(compiled_ones(proxy)) and compiled_ones(proxy)[0].write_paused)
    (client,) = compiled_ones(proxy)
    for _ in range(100):
        await asyncio.sleep(0)
        assert client.held < MOST_HELD
    assert writer.transport.get_write_buffer_size() > 0
    assert len(seen.requests) < count
    for _ in range(count):
        assert len((await read_message(reader)).body) == 100_000
    assert at_rest(proxy)


async def test_a_server_that_takes_nothing_holds_no_more_than_a_request(stage: Stage) -> None:
    asked = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.Event().wait()

    origin = await stage.origin(deaf)
    proxy = await stage.one_pool(origin)
    _, writer = await stage.connect()
    body = b"b" * 30000
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n" + body + BIG)
    await asyncio.wait_for(asked.wait(), 10)
    (client,) = compiled_ones(proxy)
    for _ in range(100):
        await asyncio.sleep(0)
        assert client.held < MOST_HELD
    reset(writer)
    await until(lambda: not proxy.connections and at_rest(proxy))
    assert proxy.counters.aborted_by_client == 1


def in_chunks(body: bytes) -> bytes:
    """In very small ones, and in large ones."""
    small = [body[at : at + 3] for at in range(0, 3000, 3)]
    large = [body[at : at + 70001] for at in range(3000, len(body), 70001)]
    return CODED + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in (*small, *large)) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [10**6, 2 * 10**7])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_big_response_comes_whole_to_a_slow_reader(stage: Stage, size: int, chunked: bool) -> None:
    body = BIG[:size]
    response = in_chunks(body) if chunked else HEAD % size + body
    proxy = await stage.one_pool(await stage.origin(answering(response)))
    reader, writer = await stage.connect()
    for number in (1, 2):
        writer.write(GET)
        await until(lambda wanted=number: proxy.counters.responses == {200: wanted})  # type: ignore[misc]
        if size > 10**7:
            await until(lambda: compiled_ones(proxy)[0].write_paused)
        assert (await read_message(reader)).body == body
    await until(lambda: at_rest(proxy))
    assert proxy.counters.bytes_out == 2 * size
    assert proxy.pools.by_name["web"].servers[0].opened == 1


@pytest.mark.parametrize("path", ["compiled", "general"])
async def test_a_client_that_is_done_sending_still_gets_the_end_of_a_response_that_is_done(
    stage: Stage, held: contextlib.ExitStack, path: str
) -> None:
    """Its server is free already, so there is nothing to be saved."""
    stage.compiled = path == "compiled"
    proxy = await stage.one_pool(await stage.origin(answering(HEAD % len(TAKEN_WHOLE) + TAKEN_WHOLE)))
    client, data = await read_until_served(stage, held, proxy)
    client.shutdown(socket.SHUT_WR)
    assert len(await read_all(client, data)) > len(TAKEN_WHOLE)


async def test_a_hundred_requests_at_once_are_answered_in_order(stage: Stage) -> None:
    async def named(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            message = await read_message(reader)
            writer.write(ok(message.start.split()[1].encode()))

    origin = await stage.origin(named)
    proxy = await stage.one_pool(origin)
    requests = b"".join(GET.replace(b" / ", b" /%d " % number) for number in range(100))
    for pieces in ([requests], [requests[at : at + 997] for at in range(0, len(requests), 997)]):
        reader, writer = await stage.connect()
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        for number in range(100):
            assert (await read_message(reader)).body == b"/%d" % number
        writer.close()
        await until(lambda: not proxy.connections)
    assert at_rest(proxy)
    assert (proxy.counters.requests, proxy.counters.responses) == (200, {200: 200})
    assert origin.connections == 1
