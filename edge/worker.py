"""One of several processes that serve as one edge, started and told what to do by `edge.head`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import NoReturn

import structlog

from edge.front import CERTIFICATES_EVERY, Front
from edge.tasks import Tasks
from edge.workers.channel import Shared, WorkerEnd
from edge.workers.columns import Board
from edge.workers.parcel import Parcel, unpack
from edge.workers.sharing import WorkersShare, layout_of
from gslb.clock import Clock, SystemClock
from gslb.command import FAILED, run_command
from gslb.errors import GslbError
from gslb.log import LogLevel, configure_logging

PUBLISHED_EVERY = 0.1  # seconds; as old may a verdict be that a worker goes by

FLEET, BOARD = "fleet", "board"
"""What the head shares: both of one generation belong together."""


class Inbox:
    """What has been shared, until both parts of a generation are there. It owns their descriptors."""

    def __init__(self) -> None:
        self._newest: dict[str, Shared] = {}

    def add(self, shared: Shared) -> None:
        """The newest of a name replaces the one before."""
        old = self._newest.get(shared.name)
        if old is not None:
            os.close(old.fd)
        self._newest[shared.name] = shared

    def take(self) -> tuple[Parcel, Board] | None:
        """Both parts of one generation, once. Raises GslbError when they are not what they should be."""
        fleet, board = self._newest.get(FLEET), self._newest.get(BOARD)
        if fleet is None or board is None or fleet.generation != board.generation:
            return None
        self._newest.clear()
        try:
            parcel = unpack(fleet.fd)
            return parcel, Board(board.fd, layout_of(parcel.fleet, parcel.edge, parcel.workers))
        except BaseException:
            os.close(board.fd)
            raise
        finally:
            os.close(fleet.fd)

    def close(self) -> None:
        for shared in self._newest.values():
            os.close(shared.fd)
        self._newest.clear()


class Worker:
    """`run` returns when it has left, told so by SIGTERM or by the end of its head."""

    def __init__(self, number: int, channel: WorkerEnd, clock: Clock, parcel: Parcel, board: Board) -> None:
        """Raises GslbError when a file for TLS, or the access log, cannot be used."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._channel = channel
        self._board = board
        self._inbox = Inbox()
        self._front = Front(parcel.fleet, parcel.edge, clock, loop)
        self._share = WorkersShare(number, self._front.pools, self._front.proxy.counters)
        self._tasks = Tasks()
        self._changing: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._log = structlog.get_logger("edge").bind(
            region=parcel.edge.region, edge=parcel.edge.name, worker=number
        )

    async def run(self) -> None:
        """Serve. Raises GslbError when an address cannot be listened on."""
        for each in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(each, self._told_to_stop)
        # The head reads the file, and a terminal's end is its matter.
        self._loop.add_signal_handler(signal.SIGHUP, lambda: None)
        self._loop.add_signal_handler(signal.SIGUSR1, self._front.reopen_log)
        self._share.attach(self._board)
        await self._front.open(self._front.bind())
        self._loop.add_reader(self._channel.fileno(), self._heard)
        self._tasks.run(self._keep_in_touch(), "sharing")
        self._tasks.run(self._renew_certificates(), "certificates")
        self._channel.ready()
        await self._stop.wait()
        self._loop.remove_reader(self._channel.fileno())
        if self._changing is not None:
            self._changing.cancel()
            await asyncio.gather(self._changing, return_exceptions=True)
        await self._front.leave()
        await self._tasks.stop()
        self._share.publish(0)
        self._share.close()
        self._inbox.close()

    def _told_to_stop(self) -> None:
        if self._stop.is_set():
            self._front.hurry()
        self._stop.set()

    def _heard(self) -> None:
        """Something has come from the head, or its end."""
        received = self._channel.receive()
        if received is None:
            self._log.error("the supervisor is gone")
            self._loop.remove_reader(self._channel.fileno())
            self._stop.set()
            return
        for shared in received:
            self._inbox.add(shared)
        if self._changing is None:
            self._changing = self._loop.create_task(self._take_up(), name="taking up")

    async def _take_up(self) -> None:
        """Go on with the newest fleet, from one request to the next; or with the one before, and say why."""
        try:
            while (news := self._inbox.take()) is not None:
                parcel, board = news
                try:
                    async with self._front.prepared(parcel.fleet, parcel.edge) as change:
                        await change.begin()
                        # From here on nothing waits and nothing fails.
                        change.use()
                        self._share.attach(board)
                except BaseException:
                    board.close()
                    raise
        except GslbError as error:
            self._log.error("configuration not taken up by a worker, which serves on", reason=str(error))
        except Exception:
            self._log.exception("configuration not taken up by a worker, which serves on")
        finally:
            self._changing = None

    async def _keep_in_touch(self) -> None:
        proxy = self._front.proxy
        while True:
            await asyncio.sleep(PUBLISHED_EVERY)
            self._share.publish(len(proxy.connections))
            self._share.look()
            proxy.neighbours.known = self._share.known
            proxy.connections_elsewhere = self._share.connections_elsewhere

    async def _renew_certificates(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATES_EVERY)
            self._front.reload_certificates()


async def _serve(number: int, channel: WorkerEnd) -> None:
    inbox = Inbox()
    with contextlib.closing(inbox):
        news = None
        while news is None:
            received = channel.receive(wait=True)
            if received is None:
                return  # the head is gone before there was anything to do
            for shared in received:
                inbox.add(shared)
            news = inbox.take()
    await Worker(number, channel, SystemClock(), *news).run()


def _run() -> None:
    number, fd, level = sys.argv[1:]
    configure_logging(level=LogLevel(level))
    with contextlib.closing(WorkerEnd(int(fd))) as channel:
        if sys.platform == "win32":
            asyncio.run(_serve(int(number), channel))
        else:
            import uvloop

            uvloop.run(_serve(int(number), channel))


def main() -> None:
    """Started by the head alone: `python -m edge.worker NUMBER DESCRIPTOR LOG_LEVEL`."""
    if len(sys.argv) != 4:
        _refuse()
    run_command("gslb-edge worker", _run)


def _refuse() -> NoReturn:
    print("gslb-edge worker: workers are started by gslb-edge itself; run that", file=sys.stderr)
    sys.exit(FAILED)


if __name__ == "__main__":
    main()
