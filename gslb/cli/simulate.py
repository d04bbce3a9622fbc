"""`gslb simulate`: tries out on a made-up load what cannot be tried on the real one.

A simulation belongs to what it simulates. Packages that gslb never imports add theirs by entry points of the
group `gslb.commands`, named `simulate.COMMAND`, each a function as Typer takes it.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from gslb.cli.scenario import run_scenario, scenarios

GROUP = "gslb.commands"
PREFIX = "simulate."


class Simulations(TyperGroup):
    """Its own commands, and those of other packages, which are looked for when somebody simulates and not
    before: no other command waits for them, or fails with them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted({*super().list_commands(ctx), *_further()})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is None and (entry := _further().get(cmd_name)) is not None:
            found = _command(cmd_name, entry)
        return found


app = typer.Typer(
    help="Simulations: what would happen, and how often.", no_args_is_help=True, cls=Simulations
)


@app.callback()
def _group() -> None:
    """With it Typer makes a group even of one command."""


app.command("run")(run_scenario)
app.command("scenarios")(scenarios)


def _further() -> dict[str, EntryPoint]:
    """By the name of the command."""
    entries = entry_points(group=GROUP)
    return {entry.name.removeprefix(PREFIX): entry for entry in entries if entry.name.startswith(PREFIX)}


def _command(name: str, entry: EntryPoint) -> Any:
    one = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    one.command(name)(entry.load())
    return get_command(one)
