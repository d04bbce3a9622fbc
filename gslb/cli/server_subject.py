"""One server as `gslb server` sees it: what is known of it and its pool, and what may be said of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gslb.cli.override import known_region, seconds, whoami
from gslb.clock import SystemClock, iso
from gslb.config import load
from gslb.errors import GslbError
from gslb.fleet import Fleet, Server, ServerMode, SocketAddress
from gslb.server_change import ServerChange, changed, of_pool
from gslb.world import Verdict

if TYPE_CHECKING:
    from gslb.store.oneshot import ServersSeen


@dataclass(frozen=True, slots=True)
class Subject:
    """One server, and what is known of its pool in its region. declared: None for one that is not listed."""

    fleet: Fleet
    region: str
    pool: str
    address: SocketAddress
    seen: ServersSeen
    now: float

    @property
    def target(self) -> str:
        return f"{self.region}/{self.pool}/{self.address}"

    @property
    def declared(self) -> Server | None:
        return next((each for each in self._listed if each.address == self.address), None)

    @property
    def change(self) -> ServerChange | None:
        return of_pool(self.region, self.pool, self.seen.changes).get(self.address)

    @property
    def exists(self) -> bool:
        return any(each.address == self.address for each in self.servers(self.change))

    @property
    def _listed(self) -> tuple[Server, ...]:
        return self.fleet.regions[self.region].servers.get(self.pool, ())

    def servers(self, change: ServerChange | None) -> tuple[Server, ...]:
        """The pool's servers in the region, were `change` all that is changed of this one."""
        changes = dict(of_pool(self.region, self.pool, self.seen.changes))
        changes.pop(self.address, None)
        if change is not None:
            changes[self.address] = change
        # One that edges observe and nobody has listed or added was discovered.
        discovered = self.pool in self.fleet.regions[self.region].discovery
        here = Server(self.region, self.pool, self.address)
        found = (here,) if discovered and self.target in self.seen.observations else ()
        return changed((*self._listed, *found), changes, self.now)

    def word(
        self,
        reason: str,
        by: str | None,
        length: str | None = None,
        *,
        mode: ServerMode | None = None,
        weight: int | None = None,
        added: bool = False,
        removed: bool = False,
    ) -> ServerChange:
        """What is to be said of it, and nothing else."""
        until = self.now + seconds(length) if length is not None else None
        who = by or whoami()
        return ServerChange(
            self.region, self.pool, self.address, mode, weight, added, removed, who, reason, self.now, until
        )

    def put(self, word: ServerChange, *, force: bool) -> None:
        """Have it in force, beside what was said before."""
        self.check(self._merged(word), force=force)
        from gslb.store.oneshot import change_server

        asyncio.run(change_server(self.fleet, SystemClock(), word))
        said = "removed" if word.removed else "added" if word.added else ""
        said = said or (str(word.mode) if word.mode is not None else f"weight {word.weight}")
        ending = f"`gslb server clear {self.target}`" if word.until is None else iso(word.until)
        after = ", then maintenance" if word.mode is ServerMode.DRAIN and word.until is not None else ""
        typer.echo(f"{self.target}: {said} until {ending}{after}")

    def take_back(self, word: ServerChange, fields: tuple[str, ...] | None = None) -> None:
        """Clear these fields of what was said, or everything."""
        from gslb.store.oneshot import clear_server

        given = () if fields is None else (fields,)
        asyncio.run(clear_server(self.fleet, SystemClock(), word, *given))
        typer.echo(f"{self.target}: {'cleared' if fields is None else 'ready'}")

    def check(self, change: ServerChange | None, *, force: bool) -> None:
        """Raises GslbError if the pool had no ready server in the region any more with `change`."""
        if force or self.pool in self.fleet.regions[self.region].discovery:
            return  # which servers there are only edges know
        if self._ready(self.change) and not self._ready(change):
            raise GslbError(
                f"then {self.region} has no server for pool {self.pool} that is ready and not down",
                hint="make another one ready first, or insist with --force",
            )

    def _ready(self, change: ServerChange | None) -> int:
        return sum(
            server.mode is ServerMode.READY and not self._is_down(server) for server in self.servers(change)
        )

    def _is_down(self, server: Server) -> bool:
        observations = self.seen.observations.get(server.target, ())
        return bool(observations) and all(each.verdict is Verdict.DOWN for each in observations)

    def _merged(self, word: ServerChange) -> ServerChange:
        before = self.change
        if before is None:
            return word
        said = word.mode is not None
        return replace(
            word,
            mode=word.mode if said else before.mode,
            until=word.until if said else before.until,
            weight=word.weight if word.weight is not None else before.weight,
            added=word.added or before.added,
            removed=word.removed or before.removed,
        )


def subject_of(config: Path, target: str, *, must_exist: bool = True) -> Subject:
    """The server that `target` names. Raises GslbError for what nobody knows."""
    from gslb.store.oneshot import read_servers

    fleet = load(config)
    region, pool, address = _parsed(target)
    known_region(fleet, region)
    known_pool(fleet, pool)
    name = f"{region}/{pool}/{address}"
    seen = asyncio.run(read_servers(fleet, [region], [name]))
    subject = Subject(fleet, region, pool, address, seen, SystemClock().now())
    if must_exist and not subject.exists:
        servers = ", ".join(str(each.address) for each in subject.servers(subject.change)) or "none"
        raise GslbError(f"{region} has no server {address} in pool {pool}", hint=f"servers: {servers}")
    return subject


def _parsed(target: str) -> tuple[str, str, SocketAddress]:
    from gslb.config.values import parse_socket_address
    from gslb.config.wrong_value import WrongError

    region, _, rest = target.partition("/")
    pool, _, address = rest.partition("/")
    if not region or not pool or not address:
        raise GslbError(f"{target!r} is not a server", hint="write it like eu-west/web/10.0.0.7:9001")
    try:
        return region, pool, parse_socket_address(address)
    except WrongError as wrong:
        raise GslbError(wrong.text(repr(address)), hint=wrong.derived or wrong.hint) from None


def known_pool(fleet: Fleet, pool: str) -> None:
    """Raises GslbError for a pool that the file does not declare."""
    if pool not in fleet.pools:
        raise GslbError(f"there is no pool {pool!r}", hint=f"pools: {', '.join(fleet.pools) or 'none'}")
