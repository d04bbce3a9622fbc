"""A program: an edge that has no descriptor left for a while. Prints how its clients fared, as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import sys

import uvloop
from compiled_scene import GET, ODD, ask_on, at_rest
from edge_stage import Stage, answering, ok, until

PATIENCE = 5.0  # seconds; what was not answered by then is told as 0


async def fares(client: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes) -> int:
    try:
        async with asyncio.timeout(PATIENCE):
            return await ask_on(*client, request)
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        return 0


def use_up() -> list[int]:
    """Every descriptor that there is."""
    used: list[int] = []
    try:
        while True:
            used.append(os.dup(0))
    except OSError:
        return used


async def tell() -> dict[str, int]:
    stage = Stage()
    stage.compiled = True
    proxy = await stage.one_pool(await stage.origin(answering(ok())))
    clients = [await stage.connect() for _ in range(2)]
    for client in clients:
        assert await fares(client, GET) == 200
    late = socket.socket()
    late.setblocking(False)
    used = use_up()
    late.connect_ex(("127.0.0.1", stage.port))
    told = {
        "plain": await fares(clients[0], GET),
        "odd": await fares(clients[0], ODD),
        "plain, over what the general path left": await fares(clients[1], GET),
        "plain after an odd one": await fares(clients[0], GET),
    }
    for each in used:
        os.close(each)
    reader, writer = await asyncio.open_connection(sock=late)
    told["who came meanwhile"] = await fares((reader, writer), GET)
    await until(lambda: at_rest(proxy))
    told["in flight"] = proxy.counters.in_flight
    told["connections"] = len(proxy.connections)
    writer.close()
    await stage.close()
    return told


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    factory = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[sys.argv[1]]
    with asyncio.Runner(loop_factory=factory) as runner:
        print(json.dumps(runner.run(tell())))
