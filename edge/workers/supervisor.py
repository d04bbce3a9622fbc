"""Runs several processes as one: starts them, starts again what dies, passes signals on, and ends them all.

Workers are fresh interpreters, not forks: nothing of an event loop, a thread or a lock of this process can
reach them. Each inherits one end of a channel (edge.workers.channel) and nothing else but the standard
streams. They are process groups of their own, so that a terminal's Ctrl-C reaches them through their
supervisor alone. That a worker has ended shows in its channel first: there is no handler for SIGCHLD, which
event loops treat in different ways. What to do when is `edge.workers.plan`'s; this module does it.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from edge.workers.channel import Shared, SupervisorEnd, channel
from edge.workers.plan import End, Plan, Start, Tell, Wait, how_it_ended
from gslb.clock import Clock

_SOON = 0.02
_LOOKED_EVERY = 1.0  # should something else have kept a dead worker's channel open
_NOT_STARTED = 126  # as a shell says of a command that it cannot run

Command = Callable[[int, int], Sequence[str]]
"""How worker `number` is run, given the number of its channel's descriptor: the program and its arguments."""


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    channel: SupervisorEnd
    begun: float


def _nothing() -> None: ...


def _nothing_with(number: int) -> None: ...


class Supervisor:
    """`run` returns the exit status when all workers have ended; call everything else in its loop.

    workers: how many. grace: seconds that they may take to end before they are killed. on_ready: called
    once, when all of them serve. on_gone: called with the number of every worker that has ended, before
    it is started again: for what it had on a board.
    """

    def __init__(
        self,
        workers: int,
        command: Command,
        clock: Clock,
        *,
        grace: float,
        on_ready: Callable[[], None] = _nothing,
        on_gone: Callable[[int], None] = _nothing_with,
    ) -> None:
        self._plan = Plan(workers, grace, clock.monotonic())
        self._command = command
        self._clock = clock
        self._on_ready = on_ready
        self._on_gone = on_gone
        self._workers: dict[int, _Worker] = {}
        self._shared: dict[str, Shared] = {}
        self._changed = asyncio.Event()
        self._log = structlog.get_logger("edge")

    @property
    def pids(self) -> dict[int, int]:
        """Process ids of the workers that run, by number."""
        return {number: worker.process.pid for number, worker in self._workers.items()}

    def share(self, shared: Shared) -> None:
        """Hand this to all workers, those that are started later as well; it replaces what had its name.

        The descriptor stays the caller's, and must stay open until it is replaced or `run` returns. At a
        reload share first and pass SIGHUP on then: so a worker finds what it needs when it hears of it.
        """
        self._shared[shared.name] = shared
        for number, worker in self._workers.items():
            self._hand_over(number, worker, shared)

    def stop(self) -> None:
        """End gracefully; a second call makes the workers hurry."""
        self._plan.stop(self._clock.monotonic())
        self._changed.set()

    def pass_on(self, number: signal.Signals) -> None:
        """Send a signal to all workers, to each once it is ready."""
        self._plan.pass_on(number)
        self._changed.set()

    def take_signals(self, reload: Callable[[], None] | None = None) -> None:
        """SIGTERM and SIGINT stop, SIGHUP and SIGUSR1 are passed on; `run` gives all of them back.

        reload: called at SIGHUP instead; it passes the signal on itself when the workers are to have it.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGUSR1, self.pass_on, signal.SIGUSR1)
        if reload is not None:
            loop.add_signal_handler(signal.SIGHUP, reload)
        else:
            loop.add_signal_handler(signal.SIGHUP, self.pass_on, signal.SIGHUP)

    async def run(self) -> int:
        """Run until all have ended; cancelled, it kills them. The exit status: 0, or what went wrong."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._changed.clear()
                self._look()
                step = self._plan.next(self._clock.monotonic())
                if isinstance(step, Start):
                    self._start(step.number)
                elif isinstance(step, Tell):
                    self._workers[step.number].process.send_signal(step.signal)
                elif isinstance(step, Wait):
                    await self._wait(step.until)
                else:
                    return self._end(step)
        finally:
            for number in (*self._workers,):
                self._workers[number].process.kill()
                self._workers[number].process.wait()
                self._forget(number)
            for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
                loop.remove_signal_handler(each)

    async def _wait(self, until: float | None) -> None:
        # A stream ends a moment before its process can be waited for.
        ending = any(worker.channel.ended for worker in self._workers.values())
        seconds = _SOON if ending else _LOOKED_EVERY
        if until is not None:
            seconds = max(0.0, min(seconds, until - self._clock.monotonic()))
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def _start(self, number: int) -> None:
        try:
            worker = self._spawn(number)
        except OSError as error:
            pause = self._plan.ended(number, _NOT_STARTED, self._clock.monotonic())
            self._log.error("worker not started", worker=number, reason=str(error), again_in=pause)
            return
        self._workers[number] = worker
        asyncio.get_running_loop().add_reader(worker.channel.socket.fileno(), self._heard, number)
        for shared in self._shared.values():
            self._hand_over(number, worker, shared)
        self._log.debug("worker started", worker=number, pid=worker.process.pid)

    def _spawn(self, number: int) -> _Worker:
        """Raises OSError when there is no such program, or no room for it."""
        ours, theirs = channel()
        with theirs:
            try:
                process = subprocess.Popen(
                    self._command(number, theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    process_group=0,
                )
            except BaseException:
                ours.close()
                raise
        return _Worker(process, ours, self._clock.monotonic())

    def _hand_over(self, number: int, worker: _Worker, shared: Shared) -> None:
        if not worker.channel.share(shared):
            self._log.warning("worker does not take what is shared", worker=number, what=shared.name)

    def _heard(self, number: int) -> None:
        """Something has come from a worker, or the end of its stream."""
        worker = self._workers[number]
        if worker.channel.says_ready():
            self._take_for_ready(number)
        if worker.channel.ended:
            self._changed.set()
            asyncio.get_running_loop().remove_reader(worker.channel.socket.fileno())

    def _take_for_ready(self, number: int) -> None:
        before = self._plan.complete
        self._plan.ready(number)
        self._changed.set()
        if self._plan.complete and not before:
            self._on_ready()

    def _look(self) -> None:
        """Which workers have ended?"""
        for number, worker in tuple(self._workers.items()):
            status = worker.process.poll()
            if status is None:
                continue
            if worker.channel.says_ready():
                self._take_for_ready(number)  # it was, and its word came with its end
            now = self._clock.monotonic()
            self._forget(number)
            asked = self._plan.stopping
            pause = self._plan.ended(number, status, now)
            self._on_gone(number)
            tell = self._log.info if asked and status == 0 else self._log.error
            tell(
                "worker ended",
                worker=number,
                pid=worker.process.pid,
                reason=how_it_ended(status),
                lived=round(now - worker.begun, 3),
                **({} if pause is None else {"again_in": pause}),
            )

    def _forget(self, number: int) -> None:
        worker = self._workers.pop(number)
        asyncio.get_running_loop().remove_reader(worker.channel.socket.fileno())
        worker.channel.close()

    def _end(self, step: End) -> int:
        self._log.info("all workers ended", status=step.status)
        return step.status
