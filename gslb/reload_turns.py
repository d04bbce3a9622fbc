"""Takes turns at a running process's file: one reload at a time, on request, on SIGHUP or for a change."""

from __future__ import annotations

import asyncio
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic, Protocol, TypeVar

import structlog

from gslb.clock import Clock, iso
from gslb.config.textfile import Signature, recording, signature
from gslb.errors import ConfigError, GslbError, ZoneError
from gslb.fleet import Fleet
from gslb.reload_outcome import FORCE, Outcome, Status
from gslb.watched import WatchedFiles

log = structlog.get_logger(__name__)

LOOKS_BEFORE_RETRY = 10
"""Looks at unchanged files after which a refused configuration is tried again: its cure may lie elsewhere."""

_FILE_CHANGE = "file change"
_RETRY = "retry"
"""The triggers of reloads that nobody asked for."""


class Configured(Protocol):
    """A process, as far as taking turns is concerned. fleet: what it goes by."""

    fleet: Fleet
    clock: Clock


Process = TypeVar("Process", bound=Configured)


class ReloadTurns(ABC, Generic[Process]):
    """The file that a running process goes by. All methods belong on the event loop's thread.

    Invariant: one reload at a time. loaded_at: when what runs was read (seconds since 1970). last_error: why
    the file as it is does not run, empty when it does. taken_up, refused: counts of reloads. restarts: what
    waits for a restart.
    """

    def __init__(self, running: Process, files: Iterable[str], *, closed: str) -> None:
        """files: all that the fleet was read from. closed: what who asks later than `close` is told."""
        self._running = running
        self._why_closed = closed
        self._changing = asyncio.Lock()
        self._started = asyncio.Event()
        self._pace_changed = asyncio.Event()
        self._caller: asyncio.Task[Any] | None = None
        self._closed = False
        self._hang_up: asyncio.Task[None] | None = None
        self._watched = WatchedFiles(files)
        self._retried = False
        self._looks = 0  # since the file was refused
        self.loaded_at = running.clock.now()
        self.last_error = ""
        self.taken_up = self.refused = 0
        self.restarts: tuple[str, ...] = ()

    @abstractmethod
    async def _read_and_take_up(self, read: dict[str, Signature], *, force: bool) -> Outcome:
        """Read the file and go on with it, unless something speaks against it.

        Raises GslbError, and then nothing has changed. read: gets every file that is asked for, as it was
        then. `loaded_at` is set when what runs is what was read.
        """

    @property
    def file(self) -> str:
        return self._running.fleet.file

    def state(self) -> dict[str, Any]:
        """For the admin side."""
        return {
            "file": self.file,
            "loaded_at": iso(self.loaded_at),
            "last_error": self.last_error or None,
            "needs_restart": list(self.restarts),
            "taken_up": self.taken_up,
            "refused": self.refused,
        }

    def start(self) -> None:
        """The process serves: from now on it may change."""
        self._started.set()

    async def close(self) -> None:
        """Break off a reload that is under way, and take up no more."""
        self._closed = True
        self._started.set()
        for task in (self._caller, self._hang_up):
            if task is not None:
                task.cancel()
        async with self._changing:
            pass

    def hang_up(self) -> None:
        """SIGHUP: reload soon. One that waits for its turn stands for all that follow meanwhile."""
        if self._hang_up is None and not self._closed:
            self._hang_up = asyncio.create_task(self._answer_hang_up(), name="reload on SIGHUP")

    async def _answer_hang_up(self) -> None:
        await self._started.wait()
        async with self._changing:
            self._hang_up = None
            await self._reload_in_turn("SIGHUP", force=False)

    async def reload(self, trigger: str, *, force: bool = False) -> Outcome:
        """Read the file again, and take up what is new in it unless something speaks against it.

        trigger: what asked for it, for the log. force: also when too much of what runs would be dropped.
        """
        await self._started.wait()
        async with self._changing:
            return await self._reload_in_turn(trigger, force=force)

    async def in_turn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do `work` while nobody reloads; nothing once the process leaves. Raises what `work` raises."""
        await self._started.wait()
        async with self._changing:
            if self._closed:
                return
            self._caller = asyncio.current_task()
            try:
                await work()
            finally:
                self._caller = None

    async def _reload_in_turn(self, trigger: str, *, force: bool) -> Outcome:
        if self._closed:
            return Outcome(Status.REFUSED, (self._why_closed,))
        self._caller = asyncio.current_task()
        pace = self._running.fleet.dns.watch
        read: dict[str, Signature] = {}
        fault: Exception | None = None
        try:
            outcome = await self._read_and_take_up(read, force=force)
        except (ConfigError, ZoneError) as error:
            outcome = Outcome(Status.REFUSED, tuple(str(problem) for problem in error.problems))
        except GslbError as error:
            outcome = Outcome(Status.REFUSED, (str(error),))
        except Exception as error:
            # Its text may quote what nobody should read who may read the process's state.
            fault = error
            outcome = Outcome(Status.REFUSED, (f"an error of ours ({type(error).__name__}); the log has it",))
        finally:
            self._caller = None
        if read:
            # Also what could not be had: there the remedy may appear.
            self._watched.use(read)
        # Whether it drops too much follows from the watched files alone.
        self._retried = outcome.status is Status.REFUSED and outcome.too_much is None
        self._looks = 0
        if self._running.fleet.dns.watch != pace:
            self._pace_changed.set()
        self._note(trigger, outcome, fault)
        return outcome

    def _note(self, trigger: str, outcome: Outcome, fault: Exception | None) -> None:
        """Keep and log what came of it; what merely comes again when it is tried again is not told again."""
        error = outcome.too_much or "; ".join(outcome.problems)
        news, self.last_error = error != self.last_error, error
        said = {"trigger": trigger, "file": self.file}
        match outcome.status:
            case Status.REFUSED:
                if news or trigger != _RETRY:
                    self.refused += 1
                    _log_refusal(outcome, fault, said)
                return
            case Status.CHANGED:
                self.taken_up += 1
                log.info("configuration taken up", **said, changes=outcome.logged)
                for warning in outcome.warnings:
                    log.warning("a change of the configuration is hardly meant", warning=warning)
            case Status.UNCHANGED:
                log.info("configuration unchanged", **said)
        self.restarts = outcome.restarts
        for what in self.restarts:
            log.warning("a change of the configuration needs a restart", of=what)

    async def watch(self, pause: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep) -> None:
        """Look every `dns.watch` seconds whether a file has changed, until cancelled."""
        while True:
            self._pace_changed.clear()
            seconds = self._running.fleet.dns.watch
            if seconds is None:
                await self._pace_changed.wait()
            elif await self._passes(pause(seconds)):
                try:
                    await self.look()
                except Exception:
                    # Whatever it is may pass. Even telling of it may fail.
                    with suppress(Exception):
                        log.exception("looking for a changed configuration failed; it is tried again")

    async def _passes(self, pause: Coroutine[Any, Any, None]) -> bool:
        """Wait until `pause` is over; False when another pace is wanted before that."""
        passing = asyncio.create_task(pause, name="pause between looks")
        changing = asyncio.create_task(self._pace_changed.wait(), name="another pace of looks")
        try:
            done, _ = await asyncio.wait((passing, changing), return_when=asyncio.FIRST_COMPLETED)
            return changing not in done
        finally:
            passing.cancel()
            changing.cancel()

    async def look(self) -> Outcome | None:
        """Look once, and take up what has changed and is whole; now and then try again what was refused."""
        if await asyncio.to_thread(self._watched.have_changed):
            return await self.reload(_FILE_CHANGE)
        if not self._retried or self._watched.settling:
            return None
        self._looks += 1
        return await self.reload(_RETRY) if self._looks >= LOOKS_BEFORE_RETRY else None


@contextmanager
def reading(file: str, read: dict[str, Signature], *, process: str) -> Iterator[None]:
    """Have `read` get `file` and every other that is asked for meanwhile, as it was then.

    Raises GslbError when the file is none that can be read twice. process: what is to be restarted then.
    """
    read[file] = signature(file)
    with suppress(OSError):
        if not stat.S_ISREG(os.stat(file).st_mode):
            raise GslbError(
                f"{file} is not a file that can be read again", hint=f"restart the {process} instead"
            )
    with recording(read):
        yield


def _log_refusal(outcome: Outcome, fault: Exception | None, said: dict[str, str]) -> None:
    what = "configuration refused, the old one serves on"
    if outcome.too_much is not None:
        log.error(what, **said, reason=outcome.too_much, remedy=FORCE, changes=outcome.logged)
    else:
        log.error(what, **said, problems=list(outcome.problems), exc_info=fault)
