"""The access log of one worker: lines gather in memory and leave together, and nobody waits for them.

A line is formatted at once and written later: when 64 KiB have gathered, or at the next tick. What the disk
or the reader of a pipe does not take is kept up to a bound; beyond that the newest lines are dropped, counted
and told once a minute. A request never waits, and never fails, because it cannot be logged.
"""

from __future__ import annotations

import contextlib

import structlog

from edge.access_lines import FORMATS, Entry
from edge.log_sink import Sink, open_sink
from gslb.clock import Clock
from gslb.errors import GslbError
from gslb.fleet_edge import AccessLog as AccessLogSettings
from gslb.fleet_edge import AccessLogFormat

_WRITTEN_AT = 64 * 1024
_MOST_WAITING = 1024 * 1024  # for a reader that is slow for a moment
_TOLD_EVERY = 60.0


class AccessLog:
    """Call `write` for every exchange that ended, `flush` every second, `reopen` on SIGUSR1.

    Invariants: `_lines` holds whole lines but for the first, which may be the rest of one whose beginning is
    written already; that rest is never dropped, so that no line ends where it should not.
    """

    __slots__ = (
        "_clock",
        "_cut",
        "_file",
        "_flush_at",
        "_format",
        "_lines",
        "_log",
        "_reason",
        "_sink",
        "_told_at",
        "_untold",
        "_waiting",
        "dropped",
    )

    def __init__(self, settings: AccessLogSettings, clock: Clock) -> None:
        """Raises GslbError when the file cannot be opened; a format of "off" has no log to make."""
        self._format = FORMATS[settings.format]
        self._file = settings.file
        self._clock = clock
        self._log = structlog.get_logger("edge")
        self._sink: Sink | None = open_sink(settings.file)
        self._lines: list[bytes] = []
        self._waiting = 0  # bytes in `_lines`
        self._cut = False  # the first of `_lines` is the rest of one
        self._flush_at = _WRITTEN_AT
        self._untold = 0
        self._reason = ""
        self._told_at: float | None = None
        self.dropped = 0

    def now(self) -> float:
        """Seconds since 1970, for the moments that lines tell."""
        return self._clock.now()

    def write(self, entry: Entry) -> None:
        """Take up one line."""
        line = self._format(entry)
        self._lines.append(line)
        self._waiting += len(line)
        if self._waiting >= self._flush_at:
            self._filled()

    def _filled(self) -> None:
        if self._flush_at == _WRITTEN_AT:
            self._send()
        elif len(self._lines) > 1:
            # It did not take all the last time: the next tick asks again, not every request.
            self._waiting -= len(self._lines.pop())
            self._drop(1, "what reads it is too slow")

    def flush(self) -> None:
        """Write what waits, as far as it is taken, and tell of what was dropped."""
        if self._lines:
            self._send()
        if self._untold:
            now = self._clock.monotonic()
            if self._told_at is None or now - self._told_at >= _TOLD_EVERY:
                self._told_at = now
                self._tell()

    def _send(self) -> None:
        if self._sink is None:
            return
        data = b"".join(self._lines)
        taken, error = self._sink.write(data)
        if taken:
            self._cut = data[taken - 1] != 0x0A
        left = data[taken:]
        if error is not None:
            kept = left[: left.index(b"\n") + 1] if self._cut else b""
            self._drop(left.count(b"\n") - kept.count(b"\n"), error.strerror or str(error))
            left = kept
        self._lines = left.splitlines(keepends=True)
        self._waiting = len(left)
        self._flush_at = _MOST_WAITING if left else _WRITTEN_AT

    def _drop(self, lines: int, reason: str) -> None:
        self.dropped += lines
        self._untold += lines
        self._reason = reason

    def _tell(self) -> None:
        lines, self._untold = self._untold, 0
        self._say("access log lines dropped", lines=lines, reason=self._reason)

    def reopen(self) -> None:
        """Go on in a new file of the same name; if there can be none, in the old one, and say so."""
        if self._sink is None:
            return
        self.flush()
        try:
            fresh = open_sink(self._file)
        except GslbError as error:
            self._say("access log not reopened", reason=str(error))
            return
        if self._cut:
            # Its beginning is in the old file: a rest without it would look like a line.
            self._waiting -= len(self._lines.pop(0))
            self._cut = False
            self._drop(1, "the file was moved in the middle of a line")
        self._sink.close()
        self._sink = fresh

    def close(self) -> None:
        """Write what can be written; nothing is taken any more."""
        if self._sink is None:
            return
        self._send()
        if self._lines:
            self._drop(len(self._lines), "the edge ended")
        if self._untold:
            self._tell()
        self._lines.clear()
        self._waiting = 0
        self._sink.close()
        self._sink = None

    def _say(self, event: str, **details: object) -> None:
        # The same full disk may hold the program's own log.
        with contextlib.suppress(OSError, ValueError):
            self._log.warning(event, file=self._file or "the standard output", **details)


def open_access_log(settings: AccessLogSettings, clock: Clock) -> AccessLog | None:
    """None if there is to be none; raises GslbError when it cannot be opened."""
    return None if settings.format is AccessLogFormat.OFF else AccessLog(settings, clock)
