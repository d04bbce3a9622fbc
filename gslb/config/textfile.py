"""Reads a text file whole, within bounds, or says in plain words why it cannot."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gslb.config.document import MAXIMUM_BYTES


class UnreadableError(Exception):
    """what: words that can follow the file's name. offset: of the first bad byte, when there is one."""

    def __init__(self, what: str, hint: str, *, before: bytes | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.before = before


def read_text(path: Path) -> str:
    """The text of a UTF-8 file of at most MAXIMUM_BYTES, without byte order mark. Raises UnreadableError."""
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) and not stat.S_ISFIFO(
                os.fstat(file.fileno()).st_mode
            ):
                raise UnreadableError("is not a file", "name a file")
            content = file.read(MAXIMUM_BYTES + 1)
    except FileNotFoundError:
        raise UnreadableError("does not exist", "check the path") from None
    except IsADirectoryError:
        raise UnreadableError("is a directory", "name a file in it") from None
    except PermissionError:
        raise UnreadableError("may not be read", "give this user the right to read it") from None
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}", "check the path") from None
    except ValueError:
        raise UnreadableError("is not a legal path", "check the path") from None
    if len(content) > MAXIMUM_BYTES:
        raise UnreadableError(f"is larger than {MAXIMUM_BYTES >> 20} MiB", "check that it is the right file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(
            "is not UTF-8 text", "save it as UTF-8", before=content[: error.start]
        ) from None
