"""Sets up logging once per process: lines for people on a terminal, JSON for machines elsewhere."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from enum import StrEnum
from typing import TextIO

import structlog


class LogLevel(StrEnum):
    """How much a process tells."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class _UnfailingLogger(structlog.PrintLogger):
    """Writes lines, and loses those that cannot be written: a full disk or a reader that went away must
    not end the work that has something to tell."""

    def msg(self, message: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: the stream was closed
            try:
                super().msg(message)
            except UnicodeEncodeError as error:
                super().msg(message.encode(error.encoding, "backslashreplace").decode(error.encoding))

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def configure_logging(
    *, level: LogLevel = LogLevel.INFO, json: bool | None = None, stream: TextIO | None = None
) -> None:
    """Send structlog's events to `stream` (default stderr); `json` None means: unless it is a terminal."""
    out = stream if stream is not None else sys.stderr
    as_json = not out.isatty() if json is None else json
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=out.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: _UnfailingLogger(out),
        cache_logger_on_first_use=False,
    )
