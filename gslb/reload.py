"""What a running node does with a changed file: it is taken up whole, or refused with every reason."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from gslb.aside import aside
from gslb.clock import Clock
from gslb.config import load
from gslb.config.declaration import Declaration, declaration, marked, settings
from gslb.config.difference import Difference, difference
from gslb.config.textfile import Signature
from gslb.dns.zones import Zones, load_zones
from gslb.fleet import Fleet, Node
from gslb.reload_outcome import LINES_LOGGED, Outcome, Status
from gslb.reload_turns import ReloadTurns, reading


@dataclass(frozen=True, slots=True)
class _Reading:
    """What was read. declared: as far as it can be in effect without a restart."""

    fleet: Fleet
    zones: Zones
    declared: Declaration
    difference: Difference
    told: tuple[str, ...]
    unchanged: bool

    def outcome(self, status: Status) -> Outcome:
        difference = self.difference
        return Outcome(
            status,
            too_much=difference.too_much if status is Status.REFUSED else None,
            told=self.told,
            difference=difference,
            restarts=difference.restarts,
            warnings=difference.warnings,
        )


class Running(Protocol):
    """A node, as far as its configuration is concerned."""

    fleet: Fleet
    zones: Zones
    node: Node
    clock: Clock

    async def take_up(self, fleet: Fleet, zones: Zones) -> None:
        """Go on with `fleet` from one query to the next; raises GslbError, and then nothing has changed."""
        ...


class Configuration(ReloadTurns[Running]):
    """The file that a running node goes by. All methods belong on the event loop's thread."""

    def __init__(self, running: Running) -> None:
        super().__init__(running, _files(running.fleet), closed="the node is stopping")
        self._seal = marked(secrets.token_bytes(32))
        self._declared: Declaration | None = None

    async def declared(self) -> Declaration:
        """What runs, with a mark in place of each secret; `without_marks` before anybody sees it."""
        if self._declared is None:
            fleet, zones = self._running.fleet, self._running.zones
            made = await aside(lambda: declaration(fleet, zones, seal=self._seal))
            if fleet is not self._running.fleet:
                return await self.declared()
            self._declared = made
        return self._declared

    async def _read_and_take_up(self, read: dict[str, Signature], *, force: bool) -> Outcome:
        running = self._running
        before = await self.declared()
        fleet, node = running.fleet, running.node
        found = await aside(lambda: self._read(fleet, node, before, read))
        if found.difference.too_much is not None and not force:
            return found.outcome(Status.REFUSED)
        if not found.unchanged:
            await running.take_up(found.fleet, found.zones)
            self._declared = found.declared
        self.loaded_at = running.clock.now()
        return found.outcome(Status.UNCHANGED if found.unchanged else Status.CHANGED)

    def _read(self, running: Fleet, node: Node, before: Declaration, read: dict[str, Signature]) -> _Reading:
        """All that is slow, to be done aside. Raises ConfigError, ZoneError and GslbError.

        read: gets every file that is asked for, as it was then.
        """
        with reading(self.file, read, process="node"):
            fleet = load(Path(self.file))
        zones = load_zones(fleet)
        after = declaration(fleet, zones, seal=self._seal)
        told = difference(before, after)
        fleet = in_effect(running, fleet, node)
        after = {**after, "settings": settings(fleet, seal=self._seal)}
        return _Reading(fleet, zones, after, told, tuple(told.lines(LINES_LOGGED)), after == before)


def in_effect(running: Fleet, read: Fleet, node: Node) -> Fleet:
    """`read`, but for what a running process cannot change: its Redis, its admin side, its threads, and who
    it is."""
    declared = read.dns.nodes.get(node.name)
    mine = replace(declared, admin=node.admin) if declared is not None else node
    nodes = MappingProxyType({**read.dns.nodes, node.name: mine})
    threads, pinned = running.dns.udp_threads, running.dns.pin_threads
    dns = replace(read.dns, nodes=nodes, udp_threads=threads, pin_threads=pinned, state=running.dns.state)
    return replace(read, redis=running.redis, dns=dns)


def _files(fleet: Fleet) -> frozenset[str]:
    """Every file that the fleet was read from, but for the geo databases, which have a watch of their own."""
    zones = fleet.zones.values()
    included = (path for zone in zones for path in zone.included)
    return frozenset((fleet.file, *(zone.file for zone in zones), *included))
