"""Two paths give each other descriptors: none is lost, and an edge without any left still serves."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from compiled_scene import (
    GET,
    ODD,
    at_rest,
    compiled,
    reset,
)
from edge_file import ENVIRONMENT
from edge_stage import Stage, ok, read_message, until


@pytest.fixture
def stage(stage: Stage) -> Stage:
    return compiled(stage)


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


async def test_going_to_and_fro_leaves_no_descriptor_behind(stage: Stage) -> None:
    open_ones: set[asyncio.StreamWriter] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await talk(reader, writer)
        open_ones.discard(writer)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            message = await read_message(reader)
            if message.start.split()[1] == "/ends":
                return
            early = b"HTTP/1.1 103 Early Hints\r\n\r\n" if message.start.split()[1] == "/early" else b""
            writer.write(early + ok())

    async def one_client(requests: list[bytes], break_off: bool) -> None:
        reader, writer = await stage.connect()
        for request in requests:
            writer.write(request)
            while (await read_message(reader)).status < 200:
                pass
        if break_off:
            reset(writer)
        writer.close()

    origin = await stage.origin(handle)
    proxy = await stage.one_pool(origin)
    early, ends = GET.replace(b" / ", b" /early "), GET.replace(b" / ", b" /ends ")
    refused = GET.replace(b" / ", b" /../ ")
    server = proxy.pools.by_name["web"].servers[0]

    async def turn(number: int) -> None:
        await asyncio.gather(
            *(one_client([GET, ODD, GET, early, ODD, refused, ends, GET], number % 2 == 0) for _ in range(5))
        )
        server.close_idle()
        await until(lambda: not proxy.connections and at_rest(proxy))

    await turn(0)
    await until(lambda: not open_ones)
    before = descriptors()
    for number in range(4):
        await turn(number)
    await until(lambda: not open_ones)
    # The first turn's last connections may not have been closed to the end when they were counted.
    await until(lambda: descriptors() <= before)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_edge_without_descriptors_serves_who_is_there_and_accepts_others_later(loop: str) -> None:
    script = Path(__file__).with_name("starved_edge.py")
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1]), ENVIRONMENT["PYTHONPATH"]]
    told = subprocess.run(
        [sys.executable, script, loop],
        env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stderr.decode()
    assert json.loads(told.stdout.splitlines()[-1]) == {
        "plain": 200,
        "odd": 200,
        "plain after an odd one": 200,
        "plain, over what the general path left": 200,
        "who came meanwhile": 200,
        "in flight": 0,
        "connections": 3,
    }
