"""Ends a command as its user expects: errors as sentences, and an exit status that tells which kind."""

from __future__ import annotations

import sys
from collections.abc import Callable

from gslb.errors import ConfigError, GslbError, ZoneError

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
