"""`gslb-edge`: runs the reverse proxy of one region in the foreground."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge.process import EdgeProcess, edge_of
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
    """Balance one region's requests over its own servers, until SIGTERM or SIGINT."""
    configure_logging(level=log_level)
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)
    fleet = load(config)
    serve = _serve(fleet, edge_of(fleet, region, edge), ready_file, ready_fd)
    if sys.platform == "win32":
        asyncio.run(serve)
    else:
        import uvloop

        uvloop.run(serve)


async def _serve(fleet: Fleet, edge: Edge, ready_file: Path | None, ready_fd: int | None) -> None:
    from edge.admin import edge_app
    from gslb.admin.listener import AdminServer

    loop = asyncio.get_running_loop()
    process = EdgeProcess(fleet, edge, SystemClock(), loop=loop)
    admin = AdminServer(edge_app(process), edge.admin) if edge.admin is not None else None
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            process.hurry()
        stop.set()

    end_on_signals(loop, on_signal)
    if admin is not None:
        await admin.start()
    try:
        starting = loop.create_task(process.start())
        stopping = loop.create_task(stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            _tell_ready(ready_file, ready_fd)
            await stopping
        else:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        stopping.cancel()
        await process.stop()
    finally:
        if admin is not None:
            await admin.stop()


def _tell_ready(ready_file: Path | None, ready_fd: int | None) -> None:
    if ready_file is not None:
        ready_file.write_text("ready\n", encoding="utf-8")
    if ready_fd is not None:
        os.write(ready_fd, b"ready\n")
        os.close(ready_fd)


def main() -> None:
    """Run; exit status 2 for a bad configuration, 1 for any other error."""
    run_command("gslb-edge", app)
