"""Reads a text file whole, within bounds, or says in plain words why it cannot; and knows what was read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from gslb.config.document import MAXIMUM_BYTES

Signature = tuple[int, ...]
"""What tells whether a file was written or replaced; empty for what is not there or is no file."""

_recorder: ContextVar[dict[str, Signature] | None] = ContextVar("files read", default=None)


class UnreadableError(Exception):
    """what: words that can follow the file's name. before: the content up to the first bad byte, if any."""

    def __init__(self, what: str, hint: str, *, before: bytes | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.before = before


@contextmanager
def recording(read: dict[str, Signature]) -> Iterator[None]:
    """Enter into `read` each file that is asked for, as it was before that; also one that cannot be had."""
    token = _recorder.set(read)
    try:
        yield
    finally:
        _recorder.reset(token)


def signature(path: str | Path) -> Signature:
    """The signature of what is at `path` now, wherever links lead."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino) if stat.S_ISREG(found.st_mode) else ()


def read_text(path: Path, *, pipe: bool = False) -> str:
    """The text of a UTF-8 file of at most MAXIMUM_BYTES, without byte order mark. Raises UnreadableError.

    pipe: whether it may be a pipe as well, which is waited for until somebody has written it whole.
    """
    recorder = _recorder.get()
    if recorder is not None:
        # As it was at first: if it changes while it is read, that is a change.
        recorder.setdefault(str(path), signature(path))
    try:
        content = _content(path, pipe)
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


def _content(path: Path, pipe: bool) -> bytes:
    # To open a pipe is to wait for its writer, who may never come.
    extra = 0 if pipe else os.O_NONBLOCK
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | extra)) as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode) and not (pipe and stat.S_ISFIFO(mode)):
            raise UnreadableError("is not a file", "name a file")
        return file.read(MAXIMUM_BYTES + 1)
