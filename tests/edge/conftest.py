"""Asynchronous tests of the edge run on both event loops, unless production's (uvloop) will do for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio
import uvloop
from edge_stage import Stage, stage_fixture


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("processes") is not None:
        return {"asyncio": asyncio.new_event_loop}  # what is tested has loops of its own
    if item.get_closest_marker("production_loop") is not None:
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    async for made in stage_fixture():
        yield made
