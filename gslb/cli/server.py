"""`gslb server`: the operator's word on single servers of a pool, which edges heed within a second."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from gslb.cli.options import DEFAULT_CONFIG, ConfigOption
from gslb.cli.override import ByOption, ReasonOption, known_region
from gslb.cli.server_subject import known_pool, subject_of
from gslb.clock import SystemClock
from gslb.config import load
from gslb.errors import GslbError
from gslb.fleet import ServerMode
from gslb.server_change import HEAVIEST

app = typer.Typer(help="Servers of a pool at run time.", no_args_is_help=True)

TargetArgument = Annotated[str, typer.Argument(metavar="REGION/POOL/ADDRESS", help="The server.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Even if the pool has no server in the region then that is ready.")
]
WeightOption = Annotated[int | None, typer.Option("--weight", min=1, max=HEAVIEST, help="Default: 1.")]


@app.command("list")
def list_servers(
    where: Annotated[
        str | None, typer.Argument(metavar="[REGION[/POOL]]", help="Which servers; default: all.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Show servers as edges observe them, with what operators have changed."""
    from gslb.cli.server_table import show
    from gslb.store.oneshot import read_servers

    fleet = load(config)
    region, _, pool = (where or "").partition("/")
    if region:
        known_region(fleet, region)
    if pool:
        known_pool(fleet, pool)
    regions = [region] if region else list(fleet.regions)
    seen = asyncio.run(read_servers(fleet, regions))
    show(fleet, regions, pool or None, seen, SystemClock().now())


@app.command()
def drain(
    target: TargetArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    length: Annotated[
        str | None, typer.Option("--for", help="How long sessions may stay; then maintenance begins.")
    ] = None,
    reason: ReasonOption = "",
    by: ByOption = None,
    force: ForceOption = False,
) -> None:
    """Send nothing new to a server; sessions that it has may go on."""
    subject = subject_of(config, target)
    subject.put(subject.word(reason, by, length, mode=ServerMode.DRAIN), force=force)


@app.command()
def maintenance(
    target: TargetArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    length: Annotated[
        str | None, typer.Option("--for", help="How long, such as 90s, 30m or 1h; else until cleared.")
    ] = None,
    reason: ReasonOption = "",
    by: ByOption = None,
    force: ForceOption = False,
) -> None:
    """Send nothing at all to a server; requests that are at it end."""
    subject = subject_of(config, target)
    subject.put(subject.word(reason, by, length, mode=ServerMode.MAINTENANCE), force=force)


@app.command()
def ready(
    target: TargetArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    reason: ReasonOption = "",
    by: ByOption = None,
) -> None:
    """End a drain or maintenance; a weight stays."""
    subject = subject_of(config, target)
    word = subject.word(reason, by, mode=ServerMode.READY)
    if subject.declared is None or subject.declared.mode is ServerMode.READY:
        subject.take_back(word, ("mode", "until"))
    else:
        subject.put(word, force=True)


@app.command()
def weight(
    target: TargetArgument,
    weight: Annotated[int, typer.Argument(min=1, max=HEAVIEST, help="Its share, for weighted methods.")],
    config: ConfigOption = DEFAULT_CONFIG,
    reason: ReasonOption = "",
    by: ByOption = None,
) -> None:
    """Give a server another weight, until cleared."""
    subject = subject_of(config, target)
    subject.put(subject.word(reason, by, weight=weight), force=True)


@app.command()
def add(
    target: TargetArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    weight: WeightOption = None,
    reason: ReasonOption = "",
    by: ByOption = None,
) -> None:
    """Add a server that the file does not declare, until cleared; it is probed before it gets requests."""
    subject = subject_of(config, target, must_exist=False)
    if subject.exists:
        raise GslbError(f"{target} is there already")
    if subject.change is not None and subject.change.removed:
        raise GslbError(f"{target} was removed", hint=f"take that back with `gslb server clear {target}`")
    subject.put(subject.word(reason, by, weight=weight, added=True), force=True)


@app.command()
def remove(
    target: TargetArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    reason: ReasonOption = "",
    by: ByOption = None,
    force: ForceOption = False,
) -> None:
    """Remove a server, also one that the file declares: until cleared. Requests that are at it end."""
    subject = subject_of(config, target)
    if subject.change is not None and subject.change.added:
        subject.check(None, force=force)
        subject.take_back(subject.word(reason, by))
    else:
        subject.put(subject.word(reason, by, removed=True), force=force)


@app.command()
def clear(
    target: TargetArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    by: ByOption = None,
    force: ForceOption = False,
) -> None:
    """Take everything back: a server is as it is declared, and one that was added goes."""
    subject = subject_of(config, target, must_exist=False)
    if subject.change is None:
        typer.echo(f"{target}: nothing was changed")
        return
    subject.check(None, force=force)
    subject.take_back(subject.word("", by))
