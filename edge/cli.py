"""`gslb-edge`: runs the reverse proxy of one region in the foreground."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from edge.identity import edge_of
from edge.process import EdgeProcess
from gslb.clock import SystemClock
from gslb.command import end_on_signals, run_command
from gslb.config import load
from gslb.fleet import Edge, Fleet
from gslb.log import LogLevel, configure_logging

app = typer.Typer(
    help="The reverse proxy of one region.",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def run(
    region: Annotated[str, typer.Option("--region", help="Which of the file's regions to serve.")],
    edge: Annotated[
        str | None, typer.Option("--edge", help="Which edge of it to be, if it has several.")
    ] = None,
    config: Annotated[
        Path, typer.Option("--config", "-c", envvar="GSLB_CONFIG", help="The fleet's file.")
    ] = Path("regions.yaml"),
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", help="Write this file once requests are served.")
    ] = None,
    ready_fd: Annotated[
        int | None, typer.Option("--ready-fd", help="Write a line to this descriptor then.")
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", envvar="GSLB_LOG_LEVEL", help="How much to tell.")
    ] = LogLevel.INFO,
) -> None:
    """Balance one region's requests over its own servers, until SIGTERM or SIGINT.

    A changed file is taken up by itself, and on SIGHUP; SIGUSR1 reopens the access log.
    """
    configure_logging(level=log_level)
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)
    fleet = load(config, certificates=True)
    serve = _serve(fleet, edge_of(fleet, region, edge), log_level, lambda: _tell_ready(ready_file, ready_fd))
    if sys.platform == "win32":
        status = asyncio.run(serve)
    else:
        import uvloop

        status = uvloop.run(serve)
    if status:
        raise typer.Exit(status)


async def _serve(fleet: Fleet, edge: Edge, level: LogLevel, tell_ready: Callable[[], None]) -> int:
    """Run until told to stop; the exit status."""
    from edge.admin_side import AdminSide
    from edge.head import Head, workers_of

    loop, workers = asyncio.get_running_loop(), workers_of(fleet)
    process: EdgeProcess | Head
    if workers == 1:
        process = EdgeProcess(fleet, edge, SystemClock(), loop=loop)
        serve = _serve_alone(process, tell_ready)
    else:
        process = Head(fleet, edge, SystemClock(), workers=workers, level=level)
        serve = process.run(tell_ready)
    admin = AdminSide(process, edge.admin) if edge.admin is not None else None
    if admin is not None:
        await admin.start()
    try:
        return await serve
    finally:
        if admin is not None:
            # Who asked for a reload before anything was served is told that there will be none.
            await process.configuration.close()
            await admin.stop()


async def _serve_alone(process: EdgeProcess, tell_ready: Callable[[], None]) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            process.hurry()
        stop.set()

    end_on_signals(loop, on_signal, process.configuration.hang_up)
    loop.add_signal_handler(signal.SIGUSR1, process.reopen_log)
    starting = loop.create_task(process.start())
    stopping = loop.create_task(stop.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        await starting
        tell_ready()
        await stopping
    else:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    stopping.cancel()
    await process.stop()
    return 0


def _tell_ready(ready_file: Path | None, ready_fd: int | None) -> None:
    if ready_file is not None:
        ready_file.write_text("ready\n", encoding="utf-8")
    if ready_fd is not None:
        os.write(ready_fd, b"ready\n")
        os.close(ready_fd)


def main() -> None:
    """Run; exit status 2 for a bad configuration, 1 for any other error."""
    run_command("gslb-edge", app)
