"""A regions.yaml that tests change under a running edge, and clients that count what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_stage import read_message

from gslb.fleet import SocketAddress

REGION = "eu-west"
COMMAND = (sys.executable, "-c", "from edge.cli import main; main()")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
Servers = Sequence[SocketAddress | tuple[SocketAddress, int]]


def document(
    listen: Sequence[object],
    servers: Mapping[str, Servers],
    *,
    routes: Mapping[str, str] | None = None,
    pool: Mapping[str, object] | None = None,
    admin: str | None = None,
    **edge: object,
) -> dict[str, Any]:
    """What the file says. routes: path to pool; without them all goes to pool `web`. pool: of every pool."""
    declared: dict[str, object] = {"addresses": ["127.0.0.1"], "port": 80, "listen": list(listen)}
    if admin is not None:
        declared["admin"] = admin
    return {
        "regions": {
            REGION: {
                "coordinates": {"latitude": 53.35, "longitude": -6.26},
                "edges": [declared],
                "servers": {name: [_server(each) for each in members] for name, members in servers.items()},
            }
        },
        "pools": {name: {"method": "round_robin", **(pool or {})} for name in servers},
        "routes": [{"path": path, "pool": name} for path, name in (routes or {"/": "web"}).items()],
        "edge": {"lame_duck": "0s", **edge},
    }


def _server(server: SocketAddress | tuple[SocketAddress, int]) -> object:
    if isinstance(server, SocketAddress):
        return str(server)
    return {"address": str(server[0]), "weight": server[1]}


def write(file: Path, *args: Any, **options: Any) -> None:
    """See `document`."""
    # A value in JSON is one in YAML as well.
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in document(*args, **options).items()]
    file.write_text("".join(lines), encoding="utf-8")


class Load:
    """Clients that never rest: some keep their connections, others connect anew for each request.

    said: how often each answer came, as status and body. failed: what went wrong instead of an answer.
    """

    def __init__(self, port: int, *, keeping: int, anew: int) -> None:
        self._port = port
        self._stop = False
        self._kinds = (True,) * keeping + (False,) * anew
        self.said: Counter[tuple[int, bytes]] = Counter()
        self.failed: list[BaseException] = []

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.ensure_future(self._ask(keeps)) for keeps in self._kinds]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def more(self, count: int) -> None:
        """Until so many further answers have come, or one has not."""
        wanted = self.said.total() + count
        async with asyncio.timeout(30):
            while self.said.total() < wanted and not self.failed:
                await asyncio.sleep(0.001)

    async def _ask(self, keeps: bool) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            while not self._stop:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                response = await read_message(reader)
                self.said[response.status, response.body] += 1
                if not keeps or response.get("connection") == "close":
                    writer.close()
                    writer = None
        except (OSError, EOFError, TimeoutError) as error:
            self.failed.append(error)
        finally:
            if writer is not None:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
