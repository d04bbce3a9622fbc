"""Options that several commands share, so that they are spelled and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gslb.log import LogLevel

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="GSLB_CONFIG",
        help="The fleet's file.",
        show_default=True,
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

LogLevelOption = Annotated[
    LogLevel, typer.Option("--log-level", envvar="GSLB_LOG_LEVEL", help="How much to tell.")
]

DEFAULT_CONFIG = Path("regions.yaml")
