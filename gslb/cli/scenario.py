"""`gslb simulate run` and `scenarios`: what would become of a fleet and its clients in a story."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gslb.cli.options import JsonOption

if TYPE_CHECKING:
    from gslb.simulate.outcome import Outcome


def run_scenario(
    scenario: Annotated[
        str, typer.Argument(help="A file, or the name of a scenario that `gslb simulate scenarios` lists.")
    ],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="The fleet's file; the scenarios' own fleet if left out."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of chance, so that it can be repeated.")] = 1,
    picture: Annotated[Path | None, typer.Option(help="Draw it, too: a .svg or .png file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario in simulated time, with the real deciders: verdicts, intakes and decisions.

    Regions, resolvers and clients are models: what is too much for a region is turned away at once, and a
    resolver keeps an answer for exactly its TTL.
    """
    from gslb.simulate.picture import check
    from gslb.simulate.scenario import find_scenario, read_scenario
    from gslb.simulate.stage import play

    if picture is not None:
        # Now, and not after a minute of simulation.
        check(picture)
    story = read_scenario(find_scenario(scenario))
    outcome = play(story, config, seed)
    _tell(outcome, as_json)
    if picture is not None:
        from gslb.simulate.picture import draw

        draw(picture, outcome)


def scenarios() -> None:
    """List the scenarios that come with the package."""
    from gslb.simulate.scenario import find_scenario, read_scenario, shipped

    for name in shipped():
        typer.echo(f"{name:<16} {read_scenario(find_scenario(name)).title}")


def _tell(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(outcome.document()))
        return
    from rich.console import Console

    from gslb.simulate.table import LEGEND, chart, events, headline, summary

    typer.echo(headline(outcome))
    for line in events(outcome):
        typer.echo(line)
    Console().print(chart(outcome))
    typer.echo(LEGEND)
    for line in summary(outcome):
        typer.echo(line)
