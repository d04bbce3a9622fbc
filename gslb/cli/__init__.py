"""The command `gslb`; one file a command."""

from __future__ import annotations

from typing import Annotated

import typer

from gslb import __version__
from gslb.cli import check, clear, dns, drain, explain, force, history, hold, reload, status, wait, weight
from gslb.cli import demo as demo_command
from gslb.cli.geo import app as geo_app
from gslb.cli.server import app as server_app
from gslb.cli.simulate import app as simulate_app
from gslb.command import run_command

app = typer.Typer(
    name="gslb",
    help="Global server load balancing: DNS answers with the nearest healthy region.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("demo")(demo_command.demo)
app.command("dns")(dns.dns)
app.command("check")(check.check)
app.command("reload")(reload.reload)
app.command("explain")(explain.explain)
app.command("status")(status.status)
app.command("history")(history.history)
app.command("drain")(drain.drain)
app.command("force")(force.force)
app.command("weight")(weight.weight)
app.command("hold")(hold.hold)
app.command("clear")(clear.clear)
app.command("wait")(wait.wait)
app.add_typer(server_app, name="server")
app.add_typer(geo_app, name="geo")
app.add_typer(simulate_app, name="simulate")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gslb {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run a command; exit status 2 for a bad configuration, 3 for too great a change, 1 for other errors."""
    run_command("gslb", app)
