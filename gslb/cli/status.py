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
from gslb.override_effect import subject_text

_WHOLE: dict[str, Any] = {"whole": True}
_STYLES = {"up": "green", "down": "bold red", "unknown": "yellow"}


def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show regions, verdicts, observers, overrides and load, as Redis (or a running node) has them."""
    document = current_state(load(config))
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        # Lines that are cut or wrapped are of no use to grep.
        width = None if sys.stdout.isatty() else 240
        show_state(document, Console(highlight=False, width=width), SystemClock().now())


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


def show_state(document: dict[str, Any], console: Console, now: float) -> None:
    """Print the world's document as it stands at `now` (seconds since 1970)."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("region", "state", "for"):
        table.add_column(heading, no_wrap=True)
    for heading in ("servers", "requests/s", "in flight", "load"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("why")
    for region in document["regions"]:
        table.add_row(*_row(region, now))
    console.print(table)
    for line in (*_overrides(document), *_intakes(document)):
        console.print(escape(line), soft_wrap=True)
    recalled_at = document.get("recalled_at")
    if recalled_at:
        age = duration(now - parse_iso(recalled_at))
        console.print(f"[yellow]from the copy on disk, which is {age} old[/yellow]", soft_wrap=True)
    observers = ", ".join(document["observers"]) or "none, and so nobody knows how the regions are"
    console.print(f"observers: {observers}   [dim]from {document['source']}[/dim]", soft_wrap=True)


def _row(region: dict[str, Any], now: float) -> tuple[str, ...]:
    style = _STYLES[region["verdict"]]
    state = f"[{style}]{region['verdict'].upper()}[/{style}]"
    if region["override"]:
        state += f" [bold magenta]{_kind(region['override']).upper()}[/bold magenta]"
    # A node that answers may be of an older version, which tells less.
    if region.get("thin"):
        state += " [bold red]THIN[/bold red]"
    if not region.get("intake", _WHOLE)["whole"]:
        state += " [yellow]PART[/yellow]"
    since = duration(now - parse_iso(region["since"])) if region["since"] else "–"
    why = escape(f"{region['hostname']}: {region['reason']}" if region["hostname"] else region["reason"])
    reports = region["reports"]
    if region.get("without"):
        why += escape(f"; no server for {', '.join(region['without'])}")
    if not reports:
        return region["region"], state, since, "–", "–", "–", "–", why
    rate = sum(report["requests_per_second"] for report in reports)
    load = f"{rate / region['capacity']:.0%}" if region["capacity"] else "–"
    servers = f"{sum(r['healthy'] for r in reports)} of {sum(r['servers'] for r in reports)}"
    in_flight = str(sum(report["in_flight"] for report in reports))
    return region["region"], state, since, servers, f"{rate:.1f}", in_flight, load, why


def _overrides(document: dict[str, Any]) -> list[str]:
    """A line for each word that is in force; one on a service everywhere stands in all of its regions."""
    lines: dict[str, None] = {}
    for region in document["regions"]:
        for override in (region["override"], *region.get("service_overrides", ())):
            if override:
                lines[_override({"region": region["region"], **override})] = None
    return list(lines)


def _override(override: dict[str, Any]) -> str:
    until = f" until {override['until']}" if override["until"] else ""
    reason = f": {override['reason']}" if override["reason"] else ""
    held = ", ".join(f"{region} {verdict.upper()}" for region, verdict in override.get("held", {}).items())
    kept = f" ({held})" if held else ""
    subject = subject_text(override["region"], override.get("service", ""))
    return f"{subject}: {_kind(override)}{kept} by {override['by']} since {override['since']}{until}{reason}"


def _kind(override: dict[str, Any]) -> str:
    told = override.get("weight")
    weight = f" {told:.4g}" if told is not None else ""
    return f"{override['kind'].replace('_', ' ')}{weight}"


def _intakes(document: dict[str, Any]) -> list[str]:
    """A line for each region that does not take whoever comes, with how far."""
    lines = []
    for region in document["regions"]:
        intake = region.get("intake", _WHOLE)
        if intake["whole"]:
            continue
        told = [
            f"gives {intake['shed']:.0%} away" if intake["shed"] else "",
            f"takes {intake['takes']:.0%} of others' clients" if intake["takes"] < 1 else "",
            f"is back at {intake['ramp']:.0%}" if intake["ramp"] < 1 else "",
        ]
        lines.append(f"{region['region']} {', '.join(filter(None, told))}: {intake['reason']}")
    return lines
