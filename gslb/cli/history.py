"""`gslb history`: what happened, in sentences; and the world as it was at a moment."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gslb.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from gslb.cli.override import known_region
from gslb.cli.times import a_moment, local
from gslb.clock import SystemClock, duration, iso
from gslb.config import load
from gslb.errors import GslbError, StoreError
from gslb.fleet import Fleet
from gslb.history import KINDS, Past, Wanted, as_it_was, entries_of, entry_of, newer
from gslb.override_effect import subject_text

Fields = dict[str, str]

POLL = 1.0
"""Seconds between looks with --follow."""

FOLLOWED = 500
"""Events read at each look; more than so many in a second are not told apart."""

_STYLES = {"up": "green", "down": "bold red", "unknown": "yellow"}


def history(
    config: ConfigOption = DEFAULT_CONFIG,
    region: Annotated[str | None, typer.Option("--region", help="Only what concerns this region.")] = None,
    service: Annotated[str | None, typer.Option("--service", help="Only what concerns this name.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only events of this kind; may be repeated.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", help="Like 1h (ago), 14:03, or ISO 8601.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Likewise.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="At most so many, the latest.")] = 50,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="Else the newest is last.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens.")] = False,
    at: Annotated[
        str | None, typer.Option("--at", help="The world as it was then: like 14:03, 10m (ago), or ISO 8601.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what happened to the fleet, or with --at how it was at a moment."""
    fleet = load(config)
    now = SystemClock().now()
    if at is not None:
        if follow or region or service or kind or since or until:
            raise GslbError("--at shows the whole fleet at one moment", hint="leave the other options out")
        _show_past(fleet, a_moment(at, now), as_json=as_json)
        return
    wanted = Wanted(
        region or "",
        (service or "").lower().rstrip("."),
        _kinds(kind or []),
        a_moment(since, now) if since is not None else None,
        a_moment(until, now) if until is not None else None,
    )
    if follow and (newest_first or until is not None):
        raise GslbError("--follow goes on with what is to come", hint="leave --until and --newest-first out")
    events = selected(_read(fleet, count if wanted.everything else None), wanted, fleet)[-count:]
    if not events and region is not None:
        # One that the file does not declare any more may still have a history.
        known_region(fleet, region)
    if as_json and not follow:
        typer.echo(json.dumps(events[::-1] if newest_first else events, indent=2))
        return

    def show(events: Sequence[Fields]) -> None:
        for fields in events:
            typer.echo(line(fields, as_json=as_json))

    show(events[::-1] if newest_first else events)
    if follow:
        go_on(
            lambda: _read(fleet, FOLLOWED),
            lambda fresh: show(selected(fresh, wanted, fleet)),
            lambda: time.sleep(POLL),
        )


def selected(newest_first: Sequence[Fields], wanted: Wanted, fleet: Fleet) -> list[Fields]:
    """The events that are wanted, the oldest first."""
    told = []
    for fields in reversed(newest_first):
        entry = entry_of(fields)
        if entry is not None and wanted.has(entry, fleet):
            told.append(fields)
    return told


def go_on(
    read: Callable[[], list[Fields]],
    show: Callable[[list[Fields]], object],
    pause: Callable[[], object],
) -> None:
    """Show what is new whenever there is something, without end; while Redis is away, say so once."""
    known = read()
    away = False
    while True:
        pause()
        try:
            latest = read()
        except StoreError as error:
            if not away:
                typer.echo(f"gslb: {error}; it is tried again", err=True)
            away = True
            continue
        away = False
        if fresh := newer(latest, known):
            show(latest[:fresh])
        known = latest


def line(fields: Fields, *, as_json: bool) -> str:
    """An event as a line: the moment on this machine's clock, its kind, its sentence."""
    if as_json:
        return json.dumps(fields)
    entry = entry_of(fields)
    if entry is None:
        return json.dumps(fields)
    return f"{local(entry.at)}  {entry.kind:<16}  {' '.join(entry.text.split())}"


def past_document(past: Past) -> dict[str, Any]:
    """The world as it was, as JSON."""
    return {
        "at": iso(past.at),
        "history_begins": _iso(past.begins),
        "regions": [
            {
                "region": each.region,
                "verdict": each.verdict.value if each.verdict is not None else None,
                "since": _iso(each.since),
                "reason": each.why,
                "intake": each.intake or None,
            }
            for each in past.regions
        ],
        "overrides": [
            {
                "region": each.region,
                "service": each.service,
                "kind": each.state or None,
                "weight": each.weight,
                "since": _iso(each.since),
                "until": _iso(each.until),
                "text": each.text,
            }
            for each in past.words
        ],
    }


def _read(fleet: Fleet, count: int | None) -> list[Fields]:
    """The newest `count` events, or all that are kept; the newest first."""
    from gslb.store import keys
    from gslb.store.oneshot import read_history

    # About so many are kept: Redis lets the oldest go in lumps.
    return asyncio.run(read_history(fleet, 2 * keys.EVENTS_KEPT if count is None else count))


def _kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    families = {*KINDS, "observer"}
    for kind in kinds:
        if kind not in families:
            raise GslbError(f"there is no kind {kind!r}", hint=f"kinds: {', '.join(sorted(families))}")
    return tuple(kinds)


def _show_past(fleet: Fleet, at: float, *, as_json: bool) -> None:
    past = as_it_was(entries_of(_read(fleet, None)), fleet, at)
    if as_json:
        typer.echo(json.dumps(past_document(past), indent=2))
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
    console.print(f"[bold]{local(at)}[/bold]", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("region", "state", "for"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why")
    for each in past.regions:
        state = each.verdict.value if each.verdict is not None else None
        styled = f"[{_STYLES[state]}]{state.upper()}[/{_STYLES[state]}]" if state is not None else "?"
        since = duration(at - each.since) if each.since is not None else "–"
        table.add_row(escape(each.region), styled, since, escape(each.why))
    console.print(table)
    for each in past.regions:
        if each.intake:
            console.print(escape(each.intake), soft_wrap=True)
    for word in past.words:
        subject = subject_text(word.region, word.service)
        since = local(word.since) if word.since is not None else "before the history begins"
        console.print(escape(f"override of {subject}, since {since}: {word.text}"), soft_wrap=True)
    begins = "no event is kept" if past.begins is None else f"the history begins {local(past.begins)}"
    console.print(f"[dim]{begins}[/dim]", soft_wrap=True)


def _iso(timestamp: float | None) -> str | None:
    return iso(timestamp) if timestamp is not None else None
