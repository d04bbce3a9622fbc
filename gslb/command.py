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


def end_on_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], object]) -> None:
    """SIGTERM and SIGINT call `stop`; SIGHUP, which would end the process, is answered in the log."""
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, _refuse_to_reload)


def _refuse_to_reload() -> None:
    log.warning("SIGHUP changes nothing: restart the process to read its file again")
