"""A way through to a server that can be cut, slowed, made to pass one way only, and mended."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from ports import free_port

_PIECE = 65536
_Due = tuple[float, bytes]


@dataclass
class _Gate:
    """One direction: seconds that each piece is on its way, and whether anything passes at all."""

    delay: float
    passable: asyncio.Event


class Relay:
    """Listens on `port` of 127.0.0.1 and passes on to `to`, of all connections alike.

    As TCP would have it, nothing that was accepted is lost while the way is cut: it comes late, once it is
    mended, unless somebody has closed the connection by then.
    """

    def __init__(self, to: int, port: int | None = None) -> None:
        self.port = free_port() if port is None else port
        self._to = to
        self._forth, self._back = (_Gate(0.0, asyncio.Event()) for _ in range(2))
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self.mend()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def mend(self) -> None:
        """Everything passes, and at once."""
        self.slow(0.0)
        self._forth.passable.set()
        self._back.passable.set()

    def cut(self) -> None:
        """Nothing passes, and nobody is told: a cable is out."""
        self._forth.passable.clear()
        self._back.passable.clear()

    def deafen(self) -> None:
        """What the client says arrives, what the server answers does not."""
        self._back.passable.clear()

    def slow(self, seconds: float) -> None:
        """Every piece is that long on its way, in either direction."""
        self._forth.delay = self._back.delay = seconds

    async def refuse(self) -> None:
        """Connections are reset, and new ones refused, until `open`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._passing):
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._forth.passable.wait()
                await self._pass_on(reader, writer)
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._passing.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers.add(there_writer)
        ways = [(reader, there_writer, self._forth), (there_reader, writer, self._back)]
        tasks = [asyncio.create_task(_carry(*way)) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            there_writer.transport.abort()
            self._writers.discard(there_writer)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: _Gate) -> None:
    """One direction of a connection, until its end has arrived, which is on its way like all else."""
    loop = asyncio.get_running_loop()
    on_the_way: asyncio.Queue[_Due] = asyncio.Queue()

    async def take() -> None:
        while piece := await reader.read(_PIECE):
            on_the_way.put_nowait((loop.time() + gate.delay, piece))
        on_the_way.put_nowait((loop.time() + gate.delay, b""))

    taking = asyncio.create_task(take())
    try:
        while True:
            due, piece = await on_the_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await gate.passable.wait()
            if not piece:
                return
            writer.write(piece)
            await writer.drain()
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
