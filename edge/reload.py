"""What a running edge does with a changed file: it is taken up whole, or refused with every reason."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge.changes import in_effect, lines, restarts
from edge.identity import edge_of
from gslb.clock import Clock
from gslb.config import load
from gslb.config.textfile import Signature
from gslb.fleet import Edge, Fleet
from gslb.reload_outcome import Outcome, Status
from gslb.reload_turns import ReloadTurns, reading


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


class Configuration(ReloadTurns[Running]):
    """The file that a running edge goes by. All methods belong on the event loop's thread."""

    def __init__(self, running: Running) -> None:
        super().__init__(running, [running.fleet.file], closed="the edge is leaving")

    async def _read_and_take_up(self, read: dict[str, Signature], *, force: bool) -> Outcome:
        # There is nothing to force: only DNS nodes refuse what drops too much.
        running = self._running
        fleet, edge = running.fleet, running.edge
        found = await asyncio.to_thread(_read, fleet, edge, read)
        changed = (found.fleet, found.edge) != (fleet, edge)
        # Also when nothing changed: the files that it names, of roots and keys, may have.
        await running.take_up(found.fleet, found.edge)
        self.loaded_at = running.clock.now()
        status = Status.CHANGED if changed else Status.UNCHANGED
        return Outcome(status, told=found.told, restarts=found.restarts)


def _read(running: Fleet, edge: Edge, read: dict[str, Signature]) -> _Reading:
    """Raises ConfigError, and GslbError when this edge is not declared any more.

    read: gets every file that is asked for, as it was then.
    """
    with reading(running.file, read, process="edge"):
        fleet = load(Path(running.file), certificates=True)
    declared = edge_of(fleet, edge.region, edge.name)
    needed = restarts(running, edge, fleet, declared)
    told = tuple(lines(running, edge, fleet, declared))
    return _Reading(*in_effect(running, edge, fleet, declared), told, needed)
