"""Tells when files have changed and are whole again, by looking at them now and then."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

_Signatures = Mapping[str, tuple[int, ...]]


class WatchedFiles:
    """Knows a set of files as they were when they were last read. Its methods do I/O, and may block."""

    def __init__(self, files: Iterable[str]) -> None:
        self._files = frozenset(files)
        self._settling: _Signatures | None = None
        self.mark_read()

    def use(self, files: Iterable[str], *, directories: bool = False) -> None:
        """Watch these from now on. Those that are new count as changed, as nobody knows since when.

        directories: also where they lie; a directory changes when a file appears in it that was missing.
        """
        self._files = frozenset(files)
        if directories:
            self._files |= {str(Path(file).parent) for file in self._files}

    def mark_read(self) -> None:
        """They are about to be read: what changes from now on is a change."""
        self._read = self._signatures()

    def have_changed(self) -> bool:
        """Look once. A change counts when it is found the same at the look after: then nobody writes."""
        found = self._signatures()
        if all(self._read.get(file) == signature for file, signature in found.items()):
            self._settling = None
            return False
        settled, self._settling = found == self._settling, found
        return settled

    def _signatures(self) -> _Signatures:
        return {file: _signature(file) for file in self._files}


def _signature(file: str) -> tuple[int, ...]:
    """What tells whether a file was written or replaced; empty for what is not there or is no file."""
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return ()
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino
