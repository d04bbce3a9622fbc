"""`--dry-run`: where clients would go if an operator's word were said, and whether that holds."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gslb.fleet import Fleet
from gslb.what_if import RegionLoad, ServiceMove, WhatIf, what_if
from gslb.world import World

POPULATION = 4000
"""Clients all over the world that are decided for; a region with a hundredth of all is told to a tenth."""

MOST_SERVICES = 10


def show_dry_run(
    fleet: Fleet, before: World, after: World, subject: str, *, now: float, as_json: bool
) -> None:
    """Print what would come of `after`; nothing is changed."""
    from gslb.geo.locator import Locator
    from gslb.simulate.population import population

    members = population(Locator(fleet.geo, fleet.networks()), POPULATION)
    outcome = what_if(fleet, before, after, [(member.client, member.weight) for member in members], now)
    if as_json:
        typer.echo(json.dumps(dry_run_document(subject, outcome), indent=2))
    else:
        _show(subject, outcome, Console(highlight=False, width=None if sys.stdout.isatty() else 160))


def dry_run_document(subject: str, outcome: WhatIf) -> dict[str, Any]:
    """The same as JSON; loads are requests per second."""
    return {
        "subject": subject,
        "regions": [
            {
                "region": each.region,
                "share_before": round(each.share_before, 4),
                "share_after": round(each.share_after, 4),
                "before": _rounded(each.before),
                "after": _rounded(each.after),
                "reported": each.reported,
                "limit": each.limit,
                "holds": each.holds,
            }
            for each in outcome.regions
        ],
        "services": [
            {
                "service": each.service,
                "moved": round(each.moved, 4),
                "to": {region: round(part, 4) for region, part in each.to},
                "stranded": each.stranded,
            }
            for each in outcome.services
        ],
        "unplaced": _rounded(outcome.unplaced),
        "overloaded": [each.region for each in outcome.overloaded],
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 1)


def _show(subject: str, outcome: WhatIf, console: Console) -> None:
    console.print(f"[bold]{escape(subject)}[/bold]: nothing is changed; if it were:", soft_wrap=True)
    console.print(_region_table(outcome.regions))
    if outcome.services:
        console.print()
        console.print(_service_table(outcome.services))
    for line in notes(outcome):
        console.print(escape(line), soft_wrap=True)


def _region_table(regions: tuple[RegionLoad, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("region", no_wrap=True)
    for heading in ("clients", "then", "requests/s", "then", "bears", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in regions:
        about = "" if each.reported else "~"
        table.add_row(
            escape(each.region),
            f"{each.share_before:.1%}",
            f"{each.share_after:.1%}",
            "–" if each.before is None else f"{about}{each.before:.1f}",
            "–" if each.after is None else f"{about}{each.after:.1f}",
            "–" if each.limit is None else f"{each.limit:.0f}",
            _holds(each),
        )
    return table


def _holds(each: RegionLoad) -> str:
    if each.holds is None or not each.limit or each.after is None:
        return ""
    part = f"{each.after / each.limit:.0%}"
    return part if each.holds else f"[bold red]{part}: too much[/bold red]"


def _service_table(services: tuple[ServiceMove, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("service", no_wrap=True)
    table.add_column("clients that move", justify="right", no_wrap=True)
    table.add_column("to")
    for each in sorted(services, key=lambda each: (not each.stranded, -each.moved))[:MOST_SERVICES]:
        where = ", ".join(f"{region} {part:.1%}" for region, part in each.to)
        lost = "[bold red]no eligible region is left[/bold red]" if each.stranded else ""
        table.add_row(
            escape(each.service), f"{each.moved:.1%}", "; ".join(filter(None, (escape(where), lost)))
        )
    return table


def notes(outcome: WhatIf) -> list[str]:
    """What else is to be known of it, in sentences."""
    told = []
    if not outcome.services:
        told.append("no client would be sent elsewhere")
    elif len(outcome.services) > MOST_SERVICES:
        told.append(f"and {len(outcome.services) - MOST_SERVICES} other services")
    if all(each.before is None for each in outcome.regions):
        told.append("no edge reports its load: only shares of clients can be told")
    elif not all(each.reported for each in outcome.regions):
        told.append("~ is estimated: of those regions no edge reports, they count by their clients")
    if outcome.unplaced >= 0.1:
        told.append(
            f"{outcome.unplaced:.1f} requests/s come from clients that are sent elsewhere anyway; "
            "they are taken to stay"
        )
    for each in outcome.overloaded:
        told.append(f"{each.region} would get {each.after:.1f} requests/s and bears {each.limit:.0f}")
    return told
