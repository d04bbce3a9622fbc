"""What spills over when servers have no room, are waited for, or do not even refuse."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import pytest_asyncio
from edge_regions import EAST, GET, POST, WEST, Begin, beginning, one_each, spilled
from edge_stage import Origin, Stage, ok, read_message, until

from edge.spill_over import Neighbourhood
from gslb.fleet import ConcurrencyLimit, SocketAddress, SpillOver
from gslb.fleet_edge import Connections, QueueSettings, Timeouts

pytestmark = pytest.mark.production_loop


@pytest_asyncio.fixture(params=[True, False], ids=["compiled", "general"])
async def begin(request: pytest.FixtureRequest) -> AsyncIterator[Begin]:
    async with beginning(compiled=request.param) as begin:
        yield begin


async def busy(stage: Stage) -> tuple[Origin, asyncio.Event]:
    """A server that answers when it is told to."""
    told = asyncio.Event()

    async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_message(reader)
            await told.wait()
            writer.write(ok(WEST.encode()))

    return await stage.origin(waiting), told


BOUNDS = [{"connections": Connections(most=1)}, {"concurrency": ConcurrencyLimit(most=1)}]


@pytest.mark.parametrize("bound", BOUNDS, ids=["connections", "concurrency"])
async def test_what_has_no_room_goes_on_at_once_if_saturation_counts(
    stage: Stage, begin: Begin, bound: dict[str, Any]
) -> None:
    server, told = await busy(stage)
    origins = {WEST: [server], **await one_each(stage, EAST)}
    regions = await begin(origins, spill_over=SpillOver.ON_SATURATION, pool=bound)
    first = asyncio.ensure_future(regions.ask(WEST))
    await until(lambda: regions.proxies[WEST].pools.by_name["web"].in_flight == 1)
    for request in (GET, POST):
        assert spilled(await regions.ask(WEST, request), WEST, EAST)
    # With nobody else to go to, it is as if there were none.
    regions.proxies[WEST].neighbours.known = Neighbourhood(away=frozenset({EAST}))
    second = asyncio.ensure_future(regions.ask(WEST))
    await until(lambda: second.done() or bool(regions.proxies[WEST].pools.by_name["web"].waiting))
    told.set()
    assert (await first).body == WEST.encode()
    assert (await second).status == (503 if "concurrency" in bound else 200)


async def test_what_has_no_room_stays_if_only_failure_counts(stage: Stage, begin: Begin) -> None:
    server, told = await busy(stage)
    origins = {WEST: [server], **await one_each(stage, EAST)}
    regions = await begin(origins, pool=BOUNDS[0])
    asking = [asyncio.ensure_future(regions.ask(WEST)) for _ in range(2)]
    await until(lambda: len(regions.proxies[WEST].pools.by_name["web"].waiting) == 1)
    told.set()
    assert [(await each).body.decode() for each in asking] == [WEST, WEST]
    assert regions.proxies[WEST].counters.spilled == 0


async def test_who_waits_for_a_server_that_goes_down_goes_on_to_the_neighbour(
    stage: Stage, begin: Begin
) -> None:
    server, told = await busy(stage)
    pool = {**BOUNDS[0], "queue": QueueSettings(timeout=0.3)}
    regions = await begin({WEST: [server], **await one_each(stage, EAST)}, pool=pool)
    first = asyncio.ensure_future(regions.ask(WEST))
    await until(lambda: regions.proxies[WEST].pools.by_name["web"].in_flight == 1)
    second = asyncio.ensure_future(regions.ask(WEST))
    await until(lambda: len(regions.proxies[WEST].pools.by_name["web"].waiting) == 1)
    regions.down(WEST)
    answer = await second
    told.set()
    await first
    assert spilled(answer, WEST, EAST)


@contextmanager
def silent_address() -> Iterator[SocketAddress]:
    """A listener whose queue is full drops further SYNs: connecting to it takes for ever."""
    with socket.socket() as full, ExitStack() as held:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield SocketAddress(*full.getsockname())


async def test_a_server_that_does_not_take_connections_costs_one_time_out(stage: Stage, begin: Begin) -> None:
    with silent_address() as silent:
        regions = await begin(
            {WEST: [silent], **await one_each(stage, EAST)}, timeouts=Timeouts(connect=0.05)
        )
        assert spilled(await regions.ask(WEST), WEST, EAST)


async def test_several_that_do_not_take_connections_leave_it_to_the_neighbour(
    stage: Stage, begin: Begin
) -> None:
    with silent_address() as silent, silent_address() as other:
        regions = await begin(
            {WEST: [silent, other], **await one_each(stage, EAST)}, timeouts=Timeouts(connect=0.05)
        )
        assert spilled(await regions.ask(WEST), WEST, EAST)
