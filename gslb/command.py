"""What both programs do alike as commands: errors as sentences, exit statuses, signals."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable

import structlog

from gslb.errors import ConfigError, GslbError, ZoneError

log = structlog.get_logger(__name__)

FAILED = 1
BAD_CONFIGURATION = 2
TOO_MUCH = 3
"""A change would drop more than anybody is likely to mean, and was not forced."""

INTERRUPTED = 130


def run_command(name: str, command: Callable[[], object]) -> None:
    """Run `command`; a configuration's problems are printed a line each, any other GslbError as one line."""
    try:
        command()
    except (ConfigError, ZoneError) as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        sys.exit(BAD_CONFIGURATION)
    except GslbError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def end_on_signals(
    loop: asyncio.AbstractEventLoop,
    stop: Callable[[], object],
    reload: Callable[[], object] | None = None,
) -> None:
    """SIGTERM and SIGINT call `stop`; SIGHUP calls `reload`; without one it must not end the process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload or _refuse_to_reload)


def _refuse_to_reload() -> None:
    log.warning("SIGHUP changes nothing: restart the process to read its file again")
