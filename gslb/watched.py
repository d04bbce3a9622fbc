"""Tells when files have changed and are whole again, by looking at them now and then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gslb.config.textfile import Signature, signature


class WatchedFiles:
    """Knows a set of files as they were when last read. To make one does I/O, as does `have_changed`."""

    def __init__(self, files: Iterable[str]) -> None:
        """files: they count as read now."""
        self._read: Mapping[str, Signature] = {file: signature(file) for file in files}
        self._settling: Mapping[str, Signature] | None = None

    def use(self, read: Mapping[str, Signature]) -> None:
        """These are watched from now on, and were read (or found missing) when they had these signatures."""
        self._read, self._settling = read, None

    @property
    def settling(self) -> bool:
        """Whether somebody may be writing: they were found changed, and not yet twice the same."""
        return self._settling is not None

    def have_changed(self) -> bool:
        """Look once. A change counts when it is found the same at the look after: then nobody writes."""
        read = self._read
        found = {file: signature(file) for file in read}
        if found == read:
            self._settling = None
            return False
        settled, self._settling = found == self._settling, found
        return settled
