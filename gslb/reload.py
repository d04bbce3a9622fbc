"""What a running node does with a changed file: it is taken up whole, or refused with every reason."""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import structlog

from gslb.aside import aside
from gslb.clock import Clock, iso
from gslb.config import load
from gslb.config.declaration import Declaration, declaration, marked, settings
from gslb.config.difference import Difference, difference
from gslb.config.textfile import Signature, recording, signature
from gslb.dns.zones import Zones, load_zones
from gslb.errors import ConfigError, GslbError, ZoneError
from gslb.fleet import Fleet, Node
from gslb.watched import WatchedFiles

log = structlog.get_logger(__name__)

LINES_LOGGED = 20
"""Changes told one by one in a log line; the rest are counted."""

FORCE = "`gslb reload --force` takes it up all the same"

_FILE_CHANGE = "file change"
_RETRY = "retry"
"""The triggers of reloads that nobody asked for."""

LOOKS_BEFORE_RETRY = 10
"""Looks at unchanged files after which a refused configuration is tried again: its cure may lie elsewhere."""


class Status(StrEnum):
    """What came of a reload."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a reload, and why. problems: sentences, each with its place and its remedy.

    too_much: set when it was refused for dropping too much, which `force` allows. told: the changes for the
    log, made ahead as there may be many.
    """

    status: Status
    difference: Difference | None = None
    problems: tuple[str, ...] = ()
    too_much: str | None = None
    told: tuple[str, ...] = ()

    @property
    def restarts(self) -> tuple[str, ...]:
        """What must be started anew before all of the file takes effect."""
        return self.difference.restarts if self.difference is not None else ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is legal and yet hardly meant."""
        return self.difference.warnings if self.difference is not None else ()

    def document(self) -> dict[str, Any]:
        """The outcome for JSON; with many changes it takes its time."""
        difference = self.difference
        return {
            "status": self.status.value,
            "problems": list(self.problems),
            "too_much": self.too_much,
            "needs_restart": list(self.restarts),
            "warnings": list(self.warnings),
            "changes": difference.document()["changes"] if difference is not None else [],
            "lines": difference.lines() if difference is not None else [],
        }


@dataclass(frozen=True, slots=True)
class _Reading:
    """What was read. declared: as far as it can be in effect without a restart."""

    fleet: Fleet
    zones: Zones
    declared: Declaration
    difference: Difference
    told: tuple[str, ...]
    unchanged: bool


class Running(Protocol):
    """A node, as far as its configuration is concerned."""

    fleet: Fleet
    zones: Zones
    node: Node
    clock: Clock

    async def take_up(self, fleet: Fleet, zones: Zones) -> None:
        """Go on with `fleet` from one query to the next; raises GslbError, and then nothing has changed."""
        ...


class Configuration:
    """The file that a running node goes by. All methods belong on the event loop's thread.

    loaded_at: when what runs was read (seconds since 1970). last_error: why the file as it is does not run,
    empty when it does. taken_up, refused: counts of reloads. restarts: what waits for a restart.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self._seal = marked(secrets.token_bytes(32))
        self._declared: Declaration | None = None
        self._changing = asyncio.Lock()
        self._started = asyncio.Event()
        self._pace_changed = asyncio.Event()
        self._caller: asyncio.Task[Any] | None = None
        self._closed = False
        self._hang_up: asyncio.Task[None] | None = None
        self._watched = WatchedFiles(_files(running.fleet))
        self._retried = False
        self._looks = 0
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

    async def declared(self) -> Declaration:
        """What runs, with a mark in place of each secret; `without_marks` before anybody sees it."""
        if self._declared is None:
            fleet, zones = self._running.fleet, self._running.zones
            made = await aside(lambda: declaration(fleet, zones, seal=self._seal))
            if fleet is not self._running.fleet:
                return await self.declared()
            self._declared = made
        return self._declared

    def start(self) -> None:
        """The node answers: from now on it may change."""
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

    async def _reload_in_turn(self, trigger: str, *, force: bool) -> Outcome:
        if self._closed:
            return Outcome(Status.REFUSED, problems=("the node is stopping",))
        self._caller = asyncio.current_task()
        pace = self._running.fleet.dns.watch
        read: dict[str, Signature] = {}
        fault: Exception | None = None
        try:
            outcome = await self._read_and_take_up(read, force)
        except (ConfigError, ZoneError) as error:
            outcome = Outcome(Status.REFUSED, problems=tuple(str(problem) for problem in error.problems))
        except GslbError as error:
            outcome = Outcome(Status.REFUSED, problems=(str(error),))
        except Exception as error:
            # Its text may quote what nobody should read who may read the node's state.
            fault, said = error, f"an error of ours ({type(error).__name__}); the log has it"
            outcome = Outcome(Status.REFUSED, problems=(said,))
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

    async def _read_and_take_up(self, read: dict[str, Signature], force: bool) -> Outcome:
        running = self._running
        before = await self.declared()
        fleet, node = running.fleet, running.node
        reading = await aside(lambda: self._read(fleet, node, before, read))
        told, too_much = reading.told, reading.difference.too_much
        if too_much is not None and not force:
            return Outcome(Status.REFUSED, reading.difference, too_much=too_much, told=told)
        if not reading.unchanged:
            await running.take_up(reading.fleet, reading.zones)
            self._declared = reading.declared
        self.loaded_at = running.clock.now()
        status = Status.UNCHANGED if reading.unchanged else Status.CHANGED
        return Outcome(status, reading.difference, told=told)

    def _read(self, running: Fleet, node: Node, before: Declaration, read: dict[str, Signature]) -> _Reading:
        """All that is slow, to be done aside. Raises ConfigError, ZoneError and GslbError.

        read: gets every file that is asked for, as it was then.
        """
        read[self.file] = signature(self.file)
        with suppress(OSError):
            if not stat.S_ISREG(os.stat(self.file).st_mode):
                raise GslbError(
                    f"{self.file} is not a file that can be read again", hint="restart the node instead"
                )
        with recording(read):
            fleet = load(Path(self.file))
        zones = load_zones(fleet)
        after = declaration(fleet, zones, seal=self._seal)
        told = difference(before, after)
        fleet = in_effect(running, fleet, node)
        after = {**after, "settings": settings(fleet, seal=self._seal)}
        return _Reading(fleet, zones, after, told, tuple(told.lines(LINES_LOGGED)), after == before)

    def _note(self, trigger: str, outcome: Outcome, fault: Exception | None) -> None:
        """Keep and log what came of it; what merely comes again when it is tried again is not told again."""
        error = outcome.too_much or "; ".join(outcome.problems)
        news, self.last_error = error != self.last_error, error
        lines = list(outcome.told)
        match outcome.status:
            case Status.REFUSED:
                self._note_refusal(trigger, outcome, fault, news)
                return
            case Status.CHANGED:
                self.taken_up += 1
                log.info("configuration taken up", trigger=trigger, file=self.file, changes=lines)
                for warning in outcome.warnings:
                    log.warning("a change of the configuration is hardly meant", warning=warning)
            case Status.UNCHANGED:
                log.info("configuration unchanged", trigger=trigger, file=self.file)
        self.restarts = outcome.restarts
        for what in self.restarts:
            log.warning("a change of the configuration needs a restart", of=what)

    def _note_refusal(self, trigger: str, outcome: Outcome, fault: Exception | None, news: bool) -> None:
        if trigger == _RETRY and not news:
            return
        self.refused += 1
        what = "configuration refused, the old one serves on"
        if outcome.too_much is not None:
            lines = list(outcome.told)
            log.error(what, trigger=trigger, reason=outcome.too_much, remedy=FORCE, changes=lines)
        else:
            log.error(what, trigger=trigger, problems=list(outcome.problems), exc_info=fault)

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


def in_effect(running: Fleet, read: Fleet, node: Node) -> Fleet:
    """`read`, but for what a running process cannot change: its Redis, its admin side, its threads, and who
    it is."""
    declared = read.dns.nodes.get(node.name)
    mine = replace(declared, admin=node.admin) if declared is not None else node
    nodes = MappingProxyType({**read.dns.nodes, node.name: mine})
    threads, pinned = running.dns.udp_threads, running.dns.pin_threads
    dns = replace(read.dns, nodes=nodes, udp_threads=threads, pin_threads=pinned)
    return replace(read, redis=running.redis, dns=dns)


def _files(fleet: Fleet) -> frozenset[str]:
    """Every file that the fleet was read from, but for the geo databases, which have a watch of their own."""
    zones = fleet.zones.values()
    included = (path for zone in zones for path in zone.included)
    return frozenset((fleet.file, *(zone.file for zone in zones), *included))
