"""`gslb dns`: runs one DNS node in the foreground."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Annotated

import typer

from gslb.cli.options import DEFAULT_CONFIG, ConfigOption, LogLevelOption
from gslb.clock import SystemClock
from gslb.command import end_on_signals
from gslb.config import load
from gslb.fleet import Fleet, Node
from gslb.log import LogLevel, configure_logging


def dns(
    config: ConfigOption = DEFAULT_CONFIG,
    name: Annotated[str | None, typer.Option("--name", help="Which of the file's DNS nodes to be.")] = None,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", help="Write this file once queries are answered.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Answer in plain Python, also where the compiled loop is there.")
    ] = False,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """Run a DNS node: answer every client with the nearest healthy region."""
    from gslb.node import node_of

    configure_logging(level=log_level)
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)
    fleet = load(config)
    asyncio.run(_serve(fleet, node_of(fleet, name), ready_file, plain))


async def _serve(fleet: Fleet, settings: Node, ready_file: Path | None, plain: bool) -> None:
    from gslb.admin.listener import AdminServer
    from gslb.admin.node_app import node_app
    from gslb.node import DnsNode

    node = DnsNode(fleet, settings, SystemClock(), plain=plain)
    admin = AdminServer(node_app(node), settings.admin) if settings.admin is not None else None
    stop = asyncio.Event()
    end_on_signals(asyncio.get_running_loop(), stop.set, node.configuration.hang_up)
    if admin is not None:
        await admin.start()
    try:
        await node.start()
        # What there is now stays; the collector, which stops all of Python, need not look through it again.
        gc.collect()
        gc.freeze()
        if ready_file is not None:
            ready_file.write_text("ready\n", encoding="utf-8")  # noqa: ASYNC240 - once, and tiny
        await stop.wait()
    finally:
        await node.stop()
        if admin is not None:
            await admin.stop()
