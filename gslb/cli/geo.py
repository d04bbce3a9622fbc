"""`gslb geo`: look addresses up, build the small database, compare two databases."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gslb.errors import GslbError
from gslb.fleet import GeoSettings
from gslb.geo.agreement import REGIONS, agreement, sample
from gslb.geo.build import DEFAULT_MAX_BYTES
from gslb.geo.build import build as build_database
from gslb.geo.distance import distance
from gslb.geo.location import IPAddress
from gslb.geo.locator import Locator

app = typer.Typer(help="Location databases: look up, build, compare.", no_args_is_help=True)

DatabaseOption = Annotated[
    list[str] | None,
    typer.Option("--database", "-d", help="MMDB file; repeatable; the bundled one when left out."),
]


@app.command()
def lookup(
    addresses: Annotated[list[str], typer.Argument(help="IPv4 or IPv6 addresses.", metavar="ADDRESS...")],
    database: DatabaseOption = None,
) -> None:
    """Show where addresses are, and how far around each that holds."""
    locator = _locator(database)
    for text in addresses:
        address = _address(text)
        located = locator.locate(address)
        location = located.location
        print(f"{address}: {location}, the same for all of its /{located.prefix_length}")
        if location.coordinates is not None:
            near = min(
                REGIONS, key=lambda name: distance(location.coordinates or REGIONS[name], REGIONS[name])
            )
            print(f"  nearest of {', '.join(REGIONS)}: {near}")
    for described in locator.describe():
        print(f"[{described}]")


@app.command()
def build(
    inputs: Annotated[
        list[Path], typer.Argument(help="City-level MMDB files; one, or one each for IPv4 and IPv6.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write; replaced at once.")],
    max_bytes: Annotated[int, typer.Option(help="Upper bound of the file's size.")] = DEFAULT_MAX_BYTES,
    attribution: Annotated[str, typer.Option(help="What the source's licence wants to have said.")] = "",
) -> None:
    """Condense city-level databases into one small MMDB file. Full sources take some minutes."""
    result = build_database(inputs, output, max_bytes=max_bytes, attribution=attribution)
    for version, networks in sorted(result.networks.items()):
        print(f"IPv{version}: {networks} networks of {result.source_networks[version]}")
    print(f"{result.output}: {result.size} bytes, {result.nodes} nodes, {result.records} records")


@app.command(name="agreement")
def compare(
    reference: Annotated[list[str], typer.Argument(help="The database(s) that count as the truth.")],
    database: DatabaseOption = None,
    count: Annotated[int, typer.Option(min=1, help="Addresses of each kind.")] = 50_000,
    seed: Annotated[int, typer.Option(help="Of the random choice, so that it can be repeated.")] = 1,
) -> None:
    """Compare a database (the bundled one) with a fuller one: nearest region, country, coordinates."""
    truth, other = _locator(reference), _locator(database)
    table = Table("addresses", "nearest region", "country", "subdivision", "extra km", "median km")
    for version, by in ((4, "address"), (4, "network"), (6, "address"), (6, "network")):
        try:
            found = agreement(truth, other, sample(truth, version, count, by=by, seed=seed))
        except GslbError as error:
            typer.echo(f"IPv{version} by {by}: {error}", err=True)
            continue
        shares = (found.same_region, found.same_country, found.same_subdivision)
        percent = [f"{100 * share:.2f} %" for share in shares]
        table.add_row(
            f"{found.addresses} IPv{version}, by {by}",
            *percent,
            f"{found.extra_distance:.0f}",
            f"{found.moved:.0f}",
        )
    Console().print(table)
    print(f"Regions: {', '.join(REGIONS)}. Extra km: where the nearest region differs, on average.")


def _locator(paths: list[str] | None) -> Locator:
    return Locator(GeoSettings(databases=tuple(paths or ())))


def _address(text: str) -> IPAddress:
    try:
        return ip_address(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not an IP address", param_hint="ADDRESS") from error
