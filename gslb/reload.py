"""What a running node does with a changed file: it is taken up whole, or refused with every reason."""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
from collections.abc import Awaitable, Callable
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
from gslb.dns.zones import Zones, load_zones
from gslb.errors import ConfigError, GslbError, ZoneError
from gslb.fleet import Fleet, Node
from gslb.watched import WatchedFiles

log = structlog.get_logger(__name__)

LINES_LOGGED = 20
"""Changes told one by one in a log line; the rest are counted."""

FORCE = "`gslb reload --force` takes it up all the same"

FILE_CHANGE = "file change"
"""The trigger of reloads that nobody asked for."""


class Status(StrEnum):
    """What came of a reload."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a reload, and why. problems: sentences, each with its place and its remedy.

    too_much: set when it was refused for dropping too much, which `force` allows.
    """

    status: Status
    difference: Difference | None = None
    problems: tuple[str, ...] = ()
    too_much: str | None = None

    @property
    def restarts(self) -> tuple[str, ...]:
        """What must be started anew before all of the file takes effect."""
        return self.difference.restarts if self.difference is not None else ()

    def document(self) -> dict[str, Any]:
        """The outcome for JSON."""
        told = self.difference
        return {
            "status": self.status.value,
            "problems": list(self.problems),
            "too_much": self.too_much,
            "needs_restart": list(self.restarts),
            "changes": told.document()["changes"] if told is not None else [],
            "lines": told.lines() if told is not None else [],
        }


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
        self._watch_wanted = asyncio.Event()
        self._caller: asyncio.Task[Any] | None = None
        self._closed = False
        self._hang_up: asyncio.Task[None] | None = None
        self._watched = WatchedFiles(_files(running.fleet))
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
            try:
                await self._reload_in_turn("SIGHUP", force=False)
            except Exception:
                log.exception("the reload failed by our own fault")

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
        try:
            outcome = await self._read_and_take_up(force)
        except (ConfigError, ZoneError) as error:
            named = {problem.place.file for problem in error.problems}
            # The remedy may be a file that is missing.
            self._watched.use(_files(self._running.fleet) | named, directories=True)
            outcome = Outcome(Status.REFUSED, problems=tuple(str(problem) for problem in error.problems))
        except GslbError as error:
            outcome = Outcome(Status.REFUSED, problems=(str(error),))
        finally:
            self._caller = None
        self._watch_wanted.set()
        self._note(trigger, outcome)
        return outcome

    async def _read_and_take_up(self, force: bool) -> Outcome:
        running = self._running
        before = await self.declared()
        await asyncio.to_thread(self._watched.mark_read)
        fleet, zones, after, told = await aside(lambda: self._read(before))
        self._watched.use(_files(fleet))
        if told.too_much is not None and not force:
            return Outcome(Status.REFUSED, told, too_much=told.too_much)
        fleet = in_effect(running.fleet, fleet, running.node)
        after = {**after, "settings": settings(fleet, seal=self._seal)}
        if after == before:
            self.loaded_at = running.clock.now()
            return Outcome(Status.UNCHANGED, told)
        await running.take_up(fleet, zones)
        self._declared = after
        self.loaded_at = running.clock.now()
        return Outcome(Status.CHANGED, told)

    def _read(self, before: Declaration) -> tuple[Fleet, Zones, Declaration, Difference]:
        """All that is slow, to be done aside. Raises ConfigError, ZoneError and GslbError."""
        with suppress(OSError):
            if not stat.S_ISREG(os.stat(self.file).st_mode):
                raise GslbError(
                    f"{self.file} is not a file that can be read again", hint="restart the node instead"
                )
        fleet = load(Path(self.file))
        zones = load_zones(fleet)
        after = declaration(fleet, zones, seal=self._seal)
        return fleet, zones, after, difference(before, after)

    def _note(self, trigger: str, outcome: Outcome) -> None:
        """Keep and log what came of it; what was said before of the same file is not said again."""
        error = outcome.too_much or "; ".join(outcome.problems)
        news, self.last_error = error != self.last_error, error
        self.restarts = outcome.restarts if outcome.status is not Status.REFUSED else self.restarts
        lines = outcome.difference.lines(LINES_LOGGED) if outcome.difference is not None else []
        if outcome.status is Status.REFUSED:
            self.refused += 1
            if news or trigger != FILE_CHANGE:
                what = "configuration refused, the old one serves on"
                if outcome.too_much is not None:
                    log.error(what, trigger=trigger, reason=error, remedy=FORCE, changes=lines)
                else:
                    log.error(what, trigger=trigger, problems=list(outcome.problems))
        elif outcome.status is Status.CHANGED:
            self.taken_up += 1
            log.info("configuration taken up", trigger=trigger, file=self.file, changes=lines)
        else:
            log.info("configuration unchanged", trigger=trigger, file=self.file)
        for what in self.restarts if outcome.status is not Status.REFUSED else ():
            log.warning("a change of the configuration needs a restart", of=what)

    async def watch(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look every `dns.watch` seconds whether a file has changed, until cancelled."""
        while True:
            seconds = self._running.fleet.dns.watch
            if seconds is None:
                self._watch_wanted.clear()
                await self._watch_wanted.wait()
                continue
            await pause(seconds)
            try:
                await self.look()
            except Exception:
                # Whatever it is may pass. Even telling of it may fail.
                with suppress(Exception):
                    log.exception("looking for a changed configuration failed; it is tried again")

    async def look(self) -> Outcome | None:
        """Look once, and take up what has changed and is whole."""
        changed = await asyncio.to_thread(self._watched.have_changed)
        return await self.reload(FILE_CHANGE) if changed else None


def in_effect(running: Fleet, read: Fleet, node: Node) -> Fleet:
    """`read`, but for what a running process cannot change: its Redis, its admin side, and who it is."""
    declared = read.dns.nodes.get(node.name)
    mine = replace(declared, admin=node.admin) if declared is not None else node
    nodes = MappingProxyType({**read.dns.nodes, node.name: mine})
    return replace(read, redis=running.redis, dns=replace(read.dns, nodes=nodes))


def _files(fleet: Fleet) -> frozenset[str]:
    """Every file that the fleet was read from, but for the geo databases, which have a watch of their own."""
    zones = fleet.zones.values()
    included = (path for zone in zones for path in zone.included)
    return frozenset((fleet.file, *(zone.file for zone in zones), *included))
