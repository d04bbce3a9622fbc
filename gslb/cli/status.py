"""`gslb status`: the regions, what is concluded about them, by whom, and how loaded they are."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gslb.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from gslb.clock import SystemClock, duration, parse_iso
from gslb.config import load
from gslb.errors import StoreError
from gslb.fleet import Fleet

_STYLES = {"up": "green", "down": "bold red", "unknown": "yellow"}


def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show regions, verdicts, observers, overrides and load, as Redis (or a running node) has them."""
    document = current_state(load(config))
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        # Lines that are cut or wrapped are of no use to grep.
        _show(document, Console(highlight=False, width=None if sys.stdout.isatty() else 240))


def current_state(fleet: Fleet) -> dict[str, Any]:
    """The world's document, from Redis, else from a running node; raises StoreError when neither answers."""
    from gslb.admin.documents import world_document
    from gslb.cli.running import ask_node
    from gslb.store.oneshot import read_world

    try:
        world = asyncio.run(read_world(fleet, SystemClock()))
    except StoreError as error:
        document = ask_node(fleet, "/v1/state")
        if document is None:
            raise StoreError(f"{error.message}; no DNS node answers either", hint=error.hint) from None
        why = "Redis is away" if fleet.redis.url is not None else "no Redis is configured"
        return {"source": f"node {document['node']}, as {why}", **document}
    return {"source": "Redis", **world_document(fleet, world)}


def _show(document: dict[str, Any], console: Console) -> None:
    now = SystemClock().now()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("region", "state", "for"):
        table.add_column(heading, no_wrap=True)
    for heading in ("servers", "requests/s", "in flight", "load"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("why")
    for region in document["regions"]:
        table.add_row(*_row(region, now))
    console.print(table)
    for region in document["regions"]:
        if region["override"]:
            console.print(_override(region["region"], region["override"]), soft_wrap=True)
    observers = ", ".join(document["observers"]) or "none, and so nobody knows how the regions are"
    console.print(f"observers: {observers}   [dim]from {document['source']}[/dim]", soft_wrap=True)


def _row(region: dict[str, Any], now: float) -> tuple[str, ...]:
    style = _STYLES[region["verdict"]]
    state = f"[{style}]{region['verdict'].upper()}[/{style}]"
    if region["override"]:
        state += f" [bold magenta]{region['override']['kind'].replace('_', ' ').upper()}[/bold magenta]"
    since = duration(now - parse_iso(region["since"])) if region["since"] else "–"
    why = escape(f"{region['hostname']}: {region['reason']}" if region["hostname"] else region["reason"])
    reports = region["reports"]
    if not reports:
        return region["region"], state, since, "–", "–", "–", "–", why
    rate = sum(report["requests_per_second"] for report in reports)
    load = f"{rate / region['capacity']:.0%}" if region["capacity"] else "–"
    servers = f"{sum(r['healthy'] for r in reports)} of {sum(r['servers'] for r in reports)}"
    in_flight = str(sum(report["in_flight"] for report in reports))
    return region["region"], state, since, servers, f"{rate:.1f}", in_flight, load, why


def _override(region: str, override: dict[str, Any]) -> str:
    until = f" until {override['until']}" if override["until"] else ""
    reason = f": {override['reason']}" if override["reason"] else ""
    words = override["kind"].replace("_", " ")
    return escape(f"{region}: {words} by {override['by']} since {override['since']}{until}{reason}")
