"""`gslb demo`: the whole world of a regions.yaml on this machine, in the foreground."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gslb.cli.options import DEFAULT_CONFIG, ConfigOption
from gslb.errors import GslbError

if TYPE_CHECKING:
    from gslb.demo.world import DemoWorld


def demo(
    config: ConfigOption = DEFAULT_CONFIG,
    ready_file: Annotated[
        Path | None,
        typer.Option("--ready-file", help="Write addresses and pids here (JSON) once everything answers."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Try everything out, say what happened, and exit 0 or 1.")
    ] = False,
) -> None:
    """Run every region, edge, server, DNS node and a Redis on this machine; Ctrl-C ends all of it."""
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)
    failed = asyncio.run(_run(config, ready_file, check=check))
    if failed:
        raise typer.Exit(1)


async def _run(config: Path, ready_file: Path | None, *, check: bool) -> bool:
    from gslb.demo.check import check_world
    from gslb.demo.tour import tour
    from gslb.demo.world import DemoWorld

    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    assert main is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, main.cancel)
    world = DemoWorld(config, typer.echo)
    ended_well = False
    try:
        typer.echo("Starting the demo world…")
        await world.start()
        if ready_file is not None:
            world.write_ready_file(ready_file)
        if check:
            ended_well = await check_world(world, typer.echo)
            return not ended_well
        typer.echo(tour(world))
        await _stay(world, ready_file)
        ended_well = True
    except asyncio.CancelledError:
        typer.echo("Ending the demo world…")
        # Somebody who ends the check early has not seen it pass.
        ended_well = not check
        return check
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, lambda: None)
        await world.stop(keep_logs=not ended_well)
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)  # noqa: ASYNC240 - nothing else runs any more
    return False


async def _stay(world: DemoWorld, ready_file: Path | None) -> None:
    """Until cancelled; SIGUSR1 starts again what has ended."""
    again = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, again.set)
    while True:
        await again.wait()
        again.clear()
        try:
            for name in await world.restart_ended():
                typer.echo(f"{name} started again")
        except GslbError as error:
            typer.echo(f"not everything could be started again: {error}")
        if ready_file is not None:
            world.write_ready_file(ready_file)
