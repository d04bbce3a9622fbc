"""Where what is known lies on disk, unless the file names a folder: what the setting `dns.state` means."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

AUTO = "auto"
"""The value that stands for the folder which the system provides."""

_SYSTEM = Path("/var/lib/gslb")


def state_folder(
    state: str | None, environment: Mapping[str, str] = os.environ, *, system: Path = _SYSTEM
) -> Path | None:
    """The folder that the setting `dns.state` means, there or not; None when nothing is to be kept.

    AUTO is what systemd made for this service (the first of STATE_DIRECTORY), else the user's folder if
    XDG_STATE_HOME tells it, else `system` if we may write there, else the user's folder by its usual name.
    """
    if state is None:
        return None
    if state != AUTO:
        return Path(state)
    provided = environment.get("STATE_DIRECTORY", "").split(":")[0]
    if provided:
        return Path(provided)
    said = Path(environment.get("XDG_STATE_HOME", ""))
    if said.is_absolute():  # another value is to be ignored, says the XDG specification
        return said / "gslb"
    if system.is_dir() and os.access(system, os.W_OK | os.X_OK):
        return system
    home = Path(environment.get("HOME", ""))
    return home / ".local" / "state" / "gslb" if home.is_absolute() else None
