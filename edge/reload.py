"""What a running edge does with a changed file: it is taken up whole, or refused with every reason."""

from __future__ import annotations

import asyncio
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import structlog

from edge.changes import in_effect, lines, restarts
from edge.identity import edge_of
from gslb.clock import Clock, iso
from gslb.config import load
from gslb.config.textfile import Signature, recording, signature
from gslb.errors import ConfigError, GslbError
from gslb.fleet import Edge, Fleet
from gslb.watched import WatchedFiles

LINES_LOGGED = 20
"""Changes told one by one in a log line; the rest are counted."""

LOOKS_BEFORE_RETRY = 10
"""Looks at unchanged files after which a refused file is tried again: its cure may lie elsewhere."""

_UNWATCHED = 1.0  # seconds between looks whether the running fleet wants any

_log = structlog.get_logger("edge")


class Status(StrEnum):
    """What came of a reload."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a reload. problems: sentences, each with its place and its remedy. told: the changes."""

    status: Status
    problems: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    restarts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Reading:
    fleet: Fleet
    edge: Edge
    told: tuple[str, ...]
    restarts: tuple[str, ...]


class Running(Protocol):
    """An edge, as far as its configuration is concerned."""

    fleet: Fleet
    edge: Edge
    clock: Clock

    async def take_up(self, fleet: Fleet, edge: Edge) -> None:
        """Go on with `fleet` from one request to the next; raises GslbError, and then nothing has changed."""
        ...


class Configuration:
    """The file that a running edge goes by. All methods belong on the event loop's thread.

    loaded_at: when what runs was read (seconds since 1970). last_error: why the file as it is does not run,
    empty when it does. taken_up, refused: counts of reloads. restarts: what waits for a restart.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self._changing = asyncio.Lock()
        self._started = asyncio.Event()
        self._closed = False
        self._caller: asyncio.Task[Any] | None = None
        self._hang_up: asyncio.Task[None] | None = None
        self._watched = WatchedFiles([running.fleet.file])
        self._looks: int | None = None  # since the file was refused; None: it was not
        self.loaded_at = running.clock.now()
        self.last_error = ""
        self.taken_up = self.refused = 0
        self.restarts: tuple[str, ...] = ()

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
        """The edge serves: from now on it may change."""
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
            self._hang_up = asyncio.get_running_loop().create_task(self._answer_hang_up(), name="SIGHUP")

    async def _answer_hang_up(self) -> None:
        await self._started.wait()
        async with self._changing:
            self._hang_up = None
            await self._reload_in_turn("SIGHUP")

    async def reload(self, trigger: str) -> Outcome:
        """Read the file again, and take up what is new in it. trigger: what asked for it, for the log."""
        await self._started.wait()
        async with self._changing:
            return await self._reload_in_turn(trigger)

    async def _reload_in_turn(self, trigger: str) -> Outcome:
        if self._closed:
            return Outcome(Status.REFUSED, ("the edge is leaving",))
        self._caller = asyncio.current_task()
        read: dict[str, Signature] = {}
        fault: Exception | None = None
        try:
            outcome = await self._read_and_take_up(read)
        except ConfigError as error:
            outcome = Outcome(Status.REFUSED, tuple(str(problem) for problem in error.problems))
        except GslbError as error:
            outcome = Outcome(Status.REFUSED, (str(error),))
        except Exception as error:
            # Its text may quote what nobody should read who may read the edge's state.
            fault = error
            outcome = Outcome(Status.REFUSED, (f"an error of ours ({type(error).__name__}); the log has it",))
        finally:
            self._caller = None
        if read:
            self._watched.use(read)
        self._looks = 0 if outcome.status is Status.REFUSED else None
        self._note(trigger, outcome, fault)
        return outcome

    async def _read_and_take_up(self, read: dict[str, Signature]) -> Outcome:
        running = self._running
        fleet, edge = running.fleet, running.edge
        reading = await asyncio.to_thread(_read, fleet, edge, read)
        changed = (reading.fleet, reading.edge) != (fleet, edge)
        # Also when nothing changed: the files that it names, of roots and keys, may have.
        await running.take_up(reading.fleet, reading.edge)
        self.loaded_at = running.clock.now()
        status = Status.CHANGED if changed else Status.UNCHANGED
        return Outcome(status, told=reading.told, restarts=reading.restarts)

    def _note(self, trigger: str, outcome: Outcome, fault: Exception | None) -> None:
        """Keep and log what came of it; what merely comes again when it is tried again is not told again."""
        error = "; ".join(outcome.problems)
        news, self.last_error = error != self.last_error, error
        said = {"trigger": trigger, "file": self.file}
        if outcome.status is Status.REFUSED:
            if news or trigger != "retry":
                self.refused += 1
                what = "configuration refused, the old one serves on"
                _log.error(what, **said, problems=list(outcome.problems), exc_info=fault)
            return
        if outcome.status is Status.CHANGED:
            self.taken_up += 1
            _log.info("configuration taken up", **said, changes=_shortened(outcome.told))
        elif trigger != "retry":
            _log.info("configuration unchanged", **said)
        self.restarts = outcome.restarts
        for what in self.restarts:
            _log.warning("a change of the configuration needs a restart", of=what)

    async def watch(self) -> None:
        """Look every `dns.watch` seconds whether the file has changed, until cancelled."""
        while True:
            seconds = self._running.fleet.dns.watch
            await asyncio.sleep(_UNWATCHED if seconds is None else seconds)
            if seconds is None:
                continue
            try:
                await self.look()
            except Exception:
                # Whatever it is may pass. Even telling of it may fail.
                with suppress(Exception):
                    _log.exception("looking for a changed configuration failed; it is tried again")

    async def look(self) -> Outcome | None:
        """Look once, and take up what has changed and is whole; now and then try again what was refused."""
        if await asyncio.to_thread(self._watched.have_changed):
            return await self.reload("file change")
        if self._looks is None or self._watched.settling:
            return None
        self._looks += 1
        return await self.reload("retry") if self._looks >= LOOKS_BEFORE_RETRY else None


def _read(running: Fleet, edge: Edge, read: dict[str, Signature]) -> _Reading:
    """Raises ConfigError, and GslbError when this edge is not declared any more.

    read: gets every file that is asked for, as it was then.
    """
    file = running.file
    read[file] = signature(file)
    with suppress(OSError):
        if not stat.S_ISREG(os.stat(file).st_mode):
            raise GslbError(f"{file} is not a file that can be read again", hint="restart the edge instead")
    with recording(read):
        fleet = load(Path(file), certificates=True)
    declared = edge_of(fleet, edge.region, edge.name)
    needed = restarts(running, edge, fleet, declared)
    told = tuple(lines(running, edge, fleet, declared))
    return _Reading(*in_effect(running, edge, fleet, declared), told, needed)


def _shortened(told: tuple[str, ...]) -> list[str]:
    shown = list(told[:LINES_LOGGED])
    if len(told) > len(shown):
        shown.append(f"… and {len(told) - len(shown)} more")
    return shown
