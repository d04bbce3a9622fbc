"""Every asynchronous test of the edge runs on both event loops; production has uvloop."""

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
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    async for made in stage_fixture():
        yield made
