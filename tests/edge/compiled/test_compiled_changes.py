"""An edge that leaves, or whose file changes, disturbs nothing that is under way on the compiled path."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from compiled_scene import (
    GET,
    ask_on,
    at_rest,
    compiled,
)
from compiled_states import (
    HEAD,
    QUIET,
    RESPONSES,
    TAKEN_WHOLE,
    bring_to,
    finish,
    read_all,
    read_until_served,
)
from edge_stage import REGION, Stage, answering, make_fleet, ok, read_message, until

from edge.proxy.proxy import Proxy
from edge.serving import prepare
from gslb.fleet import Fleet, Route, SocketAddress
from gslb.fleet_edge import EdgeSettings


@pytest.fixture
def stage(stage: Stage) -> Stage:
    return compiled(stage)


@pytest.fixture
def held() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("state", [each for each in (*QUIET, *RESPONSES) if each != "connecting"])
async def test_an_edge_that_leaves_cuts_nobody_off(
    stage: Stage, held: contextlib.ExitStack, state: str
) -> None:
    scene = await bring_to(state, stage, held)
    draining = asyncio.ensure_future(scene.proxy.drain(60.0))
    await until(lambda: scene.proxy.leaving)
    said = await finish(scene, state)
    assert said == ("close" if state in ("in a request", "waiting") else None)
    if state != "lingering":
        async with asyncio.timeout(10):
            assert await scene.reader.read() == b""
        scene.writer.close()
    assert await asyncio.wait_for(draining, 10) == 0
    await scene.gone()
    assert scene.proxy.counters.aborted_by_client == scene.proxy.counters.aborted_by_server == 0


@pytest.mark.parametrize("state", [*QUIET, *RESPONSES])
async def test_an_edge_that_waits_no_longer_cuts_off_whom_it_has_to(
    stage: Stage, held: contextlib.ExitStack, state: str
) -> None:
    scene = await bring_to(state, stage, held)
    cut_off = await scene.proxy.drain(0.0)
    assert cut_off == (state in RESPONSES or state == "in a request")
    assert not scene.proxy.connections
    assert at_rest(scene.proxy)
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            while await scene.reader.read(65536):
                pass


@pytest.mark.parametrize("path", ["compiled", "general"])
async def test_when_the_edge_leaves_a_response_that_is_done_goes_out_and_then_its_connection(
    stage: Stage, held: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("edge.proxy.proxy._FIRST_REQUEST", 0.01)
    stage.compiled = path == "compiled"
    proxy = await stage.one_pool(await stage.origin(answering(HEAD % len(TAKEN_WHOLE) + TAKEN_WHOLE)))
    client, data = await read_until_served(stage, held, proxy)
    await stage.connect()
    await until(lambda: len(proxy.connections) == 2)
    draining = asyncio.ensure_future(proxy.drain(60.0))
    await until(lambda: len(proxy.connections) == 1)  # whoever has not asked was waited for until now
    assert len(await read_all(client, data)) > len(TAKEN_WHOLE)
    client.close()
    assert await asyncio.wait_for(draining, 10) == 0


# What it serves by changes.


def take_up(proxy: Proxy, fleet: Fleet) -> None:
    proxy.use(prepare(fleet, fleet.regions[REGION].edges[0]))


def fleet_of(
    address: SocketAddress, pool: str, *, settings: EdgeSettings | None = None, **options: object
) -> Fleet:
    made = make_fleet({pool: [address]}, routes=[Route(None, "/", pool)], pool=options or None)
    return made if settings is None else replace(made, edge=settings)


@pytest.mark.parametrize("state", [*QUIET, *RESPONSES])
async def test_what_is_under_way_goes_on_as_it_began_and_the_next_request_goes_by_the_new_file(
    stage: Stage, held: contextlib.ExitStack, state: str
) -> None:
    scene = await bring_to(state, stage, held)
    was = scene.proxy.pools.by_name["web"]
    other = await stage.origin(answering(ok(b"other")))
    take_up(scene.proxy, fleet_of(other.address, "elsewhere"))
    assert was.servers[0].idle == []
    if state == "connecting":
        scene.writer.transport.abort()
        await scene.gone()
    elif state == "in a request":
        scene.writer.write(GET[-1:])
        assert (await read_message(scene.reader)).body == b"other"
    elif state != "idle":
        await finish(scene, state)
    await until(lambda: was.in_flight == 0)
    reader, writer = (scene.reader, scene.writer)
    if state in ("connecting", "lingering"):
        reader, writer = await stage.connect()
    for _ in range(2):
        writer.write(GET)
        assert (await read_message(reader)).body == b"other"
    assert was.servers[0].idle == []  # nobody would use it
    assert was.servers[0].usable is False
    assert other.connections == 1


async def test_a_pool_that_wants_proxy_headers_from_now_on_gets_them(
    stage: Stage, held: contextlib.ExitStack
) -> None:
    scene = await bring_to("in a body", stage, held)
    lines: list[bytes] = []

    async def introduced(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(await reader.readline())
        await answering(ok(b"other"))(reader, writer)

    # The same server by name, as far as the edge can tell: only how it is spoken to changes.
    (server,) = scene.proxy.pools.by_name["web"].servers
    take_up(scene.proxy, fleet_of(server.server.address, "web", proxy_protocol=1))
    await finish(scene, "in a body")
    assert server.idle == []
    origin = await stage.origin(introduced)
    take_up(scene.proxy, fleet_of(origin.address, "web", proxy_protocol=1))
    scene.writer.write(GET)
    assert (await read_message(scene.reader)).body == b"other"
    assert [line[:11] for line in lines] == [b"PROXY TCP4 "]


async def test_limits_of_a_new_file_hold_from_the_next_request_on(
    stage: Stage, held: contextlib.ExitStack
) -> None:
    scene = await bring_to("in a body", stage, held)
    proxy = scene.proxy
    (server,) = proxy.pools.by_name["web"].servers
    limits = replace(proxy.settings, max_body=1, max_header_fields=2, max_request_line_bytes=30)
    take_up(proxy, fleet_of(server.server.address, "web", settings=limits))
    await finish(scene, "in a body")
    long_line = GET.replace(b" / ", b" /%b " % (b"a" * 30))
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
    assert await ask_on(scene.reader, scene.writer, post) == 413
    assert await ask_on(scene.reader, scene.writer, GET) == 200
    many = GET.replace(b"Host", b"A: b\r\nC: d\r\nHost")
    for request, status in ((many, 431), (long_line, 414)):
        reader, writer = await stage.connect()
        assert await ask_on(reader, writer, request) == status
    assert proxy.counters.refusals == {413: 1, 431: 1, 414: 1}


async def test_a_shorter_connection_ends_sooner_by_a_new_file(stage: Stage) -> None:
    origin = await stage.origin(answering(ok()))
    proxy = await stage.one_pool(origin)
    reader, writer = await stage.connect()
    assert await ask_on(reader, writer, GET) == 200
    shorter = replace(proxy.settings, max_requests_per_connection=2)
    take_up(proxy, fleet_of(origin.address, "web", settings=shorter))
    writer.write(GET)
    assert (await read_message(reader)).get("connection") == "close"
