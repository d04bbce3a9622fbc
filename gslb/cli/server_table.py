"""Shows the servers of a region as a table: what is declared, what operators changed, what edges observe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gslb.clock import iso
from gslb.fleet import Fleet, Server, ServerMode
from gslb.server_change import ServerChange, changed, of_pool
from gslb.store.oneshot import ServersSeen
from gslb.store.server_changes import described
from gslb.world import Observation, Verdict

_STYLES = {Verdict.UP: "green", Verdict.DOWN: "red", Verdict.UNKNOWN: "yellow"}
_HEADINGS = ("server", "state", "mode", "weight", "changed")


def show(fleet: Fleet, regions: Iterable[str], pool: str | None, seen: ServersSeen, now: float) -> None:
    """Print one line for each server, and for each place where edges find others."""
    # Lines that are cut or wrapped are of no use to grep.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in _HEADINGS:
        table.add_column(heading, no_wrap=heading != "changed")
    for region in regions:
        for name in fleet.pools if pool is None else (pool,):
            for row in _rows(fleet, region, name, seen, now):
                table.add_row(*row)
    console.print(table)


def _rows(fleet: Fleet, region: str, pool: str, seen: ServersSeen, now: float) -> Iterator[tuple[str, ...]]:
    changes = of_pool(region, pool, seen.changes)
    listed = fleet.regions[region].servers.get(pool, ())
    present = changed(listed, changes, now)
    for server in present:
        yield _row(server, seen.observations.get(server.target, ()), changes.get(server.address))
    there = {server.address for server in present}
    for address, change in sorted(changes.items()):
        if address not in there:
            # Removed, or one that only edges know, which have found it.
            mode = "removed" if change.removed else str(change.mode_at(now) or ServerMode.READY)
            state = "–" if change.removed else _state(seen.observations.get(change.target, ()))
            yield escape(change.target), state, mode, str(change.weight or "–"), _said(change)
    for place in fleet.regions[region].discovery.get(pool, ()):
        yield f"{region}/{pool}/[dim]{escape(str(place))}[/dim]", "–", "found", "–", ""


def _row(server: Server, observations: Iterable[Observation], change: ServerChange | None) -> tuple[str, ...]:
    backup = " backup" if server.backup else ""
    mode = str(server.mode) if server.mode is ServerMode.READY else f"[magenta]{server.mode}[/magenta]"
    said = _said(change) if change is not None else ""
    return escape(server.target), _state(observations), mode, f"{server.weight}{backup}", said


def _state(observations: Iterable[Observation]) -> str:
    """What edges say: one word where they agree, else each of them."""
    found = {each.observer: each.verdict for each in observations}
    if not found:
        return "–"
    styled = {edge: f"[{_STYLES[it]}]{it.value.upper()}[/{_STYLES[it]}]" for edge, it in found.items()}
    if len(set(styled.values())) == 1:
        return next(iter(styled.values()))
    return ", ".join(f"{text} ({edge})" for edge, text in sorted(styled.items()))


def _said(change: ServerChange) -> str:
    reason = f": {change.reason}" if change.reason else ""
    return escape(f"{described(change)} by {change.by} since {iso(change.since)}{reason}")
