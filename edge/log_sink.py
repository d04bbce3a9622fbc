"""Where the access log's bytes go, a file or the standard output, without waiting for a reader that is slow.

Several workers write to one file or pipe. Into a regular file one O_APPEND write is one piece, whatever its
length. A pipe keeps together only what is no longer than PIPE_BUF (POSIX write), so whole lines go into it in
pieces of that size; a single line that is longer may meet another worker's if the pipe is nearly full.
"""

from __future__ import annotations

import errno
import os
import select
import stat

from gslb.errors import GslbError

_STANDARD_OUTPUT = 1
_PIPE_BUF = getattr(select, "PIPE_BUF", 512)
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_MODE = 0o640  # who visits what is nobody else's business
_REMEDIES = {
    errno.ENOENT: "create its folder first",
    errno.ENOTDIR: "create its folder first",
    errno.EACCES: "let the edge's user write there",
    errno.EPERM: "let the edge's user write there",
    errno.EROFS: "choose a file system that can be written to",
    errno.EISDIR: "name a file in that folder",
    errno.ENOSPC: "make room on that file system",
    errno.ENXIO: "start the program that reads this pipe first",
}


class Sink:
    """An open descriptor, and how much to write to it at a time. `close` it once."""

    __slots__ = ("_fd", "_poll", "name")

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self.name = name
        self._poll: select.poll | None = None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            self._poll = select.poll()
            self._poll.register(fd, select.POLLOUT)

    def write(self, lines: bytes) -> tuple[int, OSError | None]:
        """How many bytes were taken, and what was wrong; neither all nor an error: it is full for now."""
        try:
            if self._poll is None:
                return os.write(self._fd, lines), None
        except OSError as error:
            return 0, None if isinstance(error, BlockingIOError) else error
        return self._write_pieces(lines, self._poll)

    def _write_pieces(self, lines: bytes, poll: select.poll) -> tuple[int, OSError | None]:
        taken = 0
        try:
            # Asked before each piece: a descriptor shared with others may be a blocking one.
            while taken < len(lines) and poll.poll(0):
                # As many whole lines as stay together, at least one.
                end = lines.rfind(b"\n", taken, taken + _PIPE_BUF) + 1 or lines.find(b"\n", taken) + 1
                piece = lines[taken : min(end, taken + _PIPE_BUF)]
                written = os.write(self._fd, piece)
                taken += written
                if written < len(piece):
                    break
        except BlockingIOError:
            pass
        except OSError as error:
            return taken, error
        return taken, None

    def close(self) -> None:
        os.close(self._fd)


def open_sink(file: str | None) -> Sink:
    """The end of `file`, made if need be; None: the standard output. Raises GslbError with the remedy."""
    if file is None:
        return _standard_output()
    try:
        return Sink(os.open(file, _FLAGS | os.O_CREAT, _MODE), file)
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        why = error.strerror if isinstance(error, OSError) else error
        raise GslbError(
            f"cannot write the access log to {file}: {why}",
            hint=_REMEDIES.get(number or 0, "name another file as edge.access_log.file"),
        ) from error


def _standard_output() -> Sink:
    try:
        try:
            # A description of our own: O_NONBLOCK on the shared one would surprise everybody who has it.
            fd = os.open(f"/proc/self/fd/{_STANDARD_OUTPUT}", _FLAGS)
        except OSError:
            # A socket, another user's terminal, or no such file system: asking before each piece must do.
            fd = os.dup(_STANDARD_OUTPUT)
        return Sink(fd, "the standard output")
    except OSError as error:
        raise GslbError(
            f"cannot write the access log to the standard output: {error.strerror}",
            hint="start the edge with an open standard output, or name a file as edge.access_log.file",
        ) from error
