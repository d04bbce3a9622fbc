"""Holds the bytes that have come and finds where a section of them ends, looking at no byte twice."""

from __future__ import annotations

import re

from edge.http1.errors import ProtocolError, Side

HEAD_END = b"\r\n\r\n"
LINE_END = b"\r\n"
# A CR at the very end may still get its LF, so it takes a byte after it to be a bare one.
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r[^\n]")


def refuse_controls(side: Side, part: str, data: bytes | bytearray, start: int = 0) -> None:
    """Raise ProtocolError for the first control byte, bare CR or bare LF from `start` on (RFC 9112 2.2).

    part: which part of the message `data` is, for the reason.
    """
    found = _FORBIDDEN.search(data, start)
    if found is None:
        return
    what = {b"\n": "a bare LF", b"\r": "a bare CR"}.get(found[0][:1], f"a control byte (0x{found[0][0]:02x})")
    raise side.broken(f"has {what} in its {part}")


class Inbox:
    """The bytes of one direction of a connection that no event has told of yet.

    Invariant: while it holds only a part of a section, that part begins at offset 0 of a bytearray, so that
    what comes is appended, and `_seen` bytes of it are known to hold neither its end nor a forbidden byte.
    """

    __slots__ = ("_at", "_data", "_line_seen", "_seen", "_side", "eof")

    def __init__(self, side: Side) -> None:
        self._side = side
        self._data: bytes | bytearray = b""
        self._at = 0
        self._seen = 0
        self._line_seen = False
        self.eof = False

    def __len__(self) -> int:
        return len(self._data) - self._at

    def add(self, data: bytes) -> None:
        """Take what has come. It is kept without a copy if nothing is waiting."""
        if self._at == len(self._data):
            self._data = data
            self._at = 0
            return
        kept = self._rest()
        kept += data

    def clear(self) -> None:
        self._data = b""
        self._at = self._seen = 0
        self._line_seen = False

    def take(self, most: int) -> bytes:
        """The next bytes, at most so many; empty if there are none."""
        data, at = self._data, self._at
        if at == 0 and len(data) <= most:
            self._data = b""
            return bytes(data)
        piece = bytes(data[at : at + most])
        self._at = at + len(piece)
        self._let_go()
        return piece

    def starts_with(self, prefix: bytes) -> bool:
        return self._data.startswith(prefix, self._at)

    def is_only(self, text: bytes) -> bool:
        """Whether nothing but this is there."""
        return len(self) == len(text) and self.starts_with(text)

    def skip(self, count: int) -> None:
        """Forget the next `count` bytes, which are there."""
        self._at += count
        self._seen = 0
        self._line_seen = False
        self._let_go()

    def line(self, part: str, limit: int) -> bytes | None:
        """The next line without its end, or None until it is complete. limit: of the line, in bytes.

        Raises ProtocolError if it is too long or can only become a bad one; see `section`.
        """
        end = self._data.find(LINE_END, self._at + max(self._seen - 1, 0), self._at + limit + 2)
        if end >= 0:
            return self._cut(end, 2)
        self._inspect(part, limit + 2)
        if len(self) >= limit + 2:
            raise self._side.broken(f"has a {part} of more than {limit} bytes")
        return None

    def section(self, part: str, limit: int, line_limit: int) -> bytes | None:
        """The lines up to an empty one, which is left out with the CRLF before it; None until all is there.

        limit: of the section with its end, line_limit: of its first line, both in bytes.
        Raises ProtocolError if it cannot be completed within them, or holds a byte that cannot be in it. All
        that is decided here depends on the first offending byte alone, not on how the bytes came in pieces.
        """
        end = self._data.find(HEAD_END, self._at + max(self._seen - 3, 0), self._at + limit)
        if end >= 0:
            section = self._cut(end, 4)
            if len(section) > line_limit and section.find(LINE_END, 0, line_limit + 2) < 0:
                self._refuse_line(part, section, line_limit)
            return section
        if not self._line_seen:
            found = self._data.find(LINE_END, self._at + max(self._seen - 1, 0), self._at + line_limit + 2)
            self._line_seen = found >= 0
            if not self._line_seen and len(self) >= line_limit + 2 <= limit:
                self._refuse_line(part, bytes(self._rest()), line_limit)
        self._inspect(part, limit)
        if len(self) >= limit:
            raise ProtocolError(
                self._side.large, f"the {self._side.message}'s {part} has more than {limit} bytes"
            )
        return None

    def _refuse_line(self, part: str, data: bytes, line_limit: int) -> None:
        refuse_controls(self._side, part, data[: line_limit + 2])
        raise ProtocolError(
            self._side.long_line,
            f"the first line of the {self._side.message} has more than {line_limit} bytes",
        )

    def _cut(self, end: int, mark: int) -> bytes:
        piece = bytes(self._data[self._at : end])
        self._at = end + mark
        self._seen = 0
        self._line_seen = False
        self._let_go()
        return piece

    def _let_go(self) -> None:
        """Hold no memory for bytes that were all taken: a connection may be idle for long."""
        if self._at == len(self._data):
            self._data = b""
            self._at = 0

    def _inspect(self, part: str, limit: int) -> None:
        """Refuse a part of a section that no more bytes can mend; remember what has been looked at."""
        kept = self._rest()
        at = max(self._seen - 1, 0)
        if len(kept) > limit:
            refuse_controls(self._side, part, kept[:limit], at)
        else:
            refuse_controls(self._side, part, kept, at)
        self._seen = len(kept)

    def _rest(self) -> bytearray:
        """What is left, at offset 0 of an array that can grow."""
        if not isinstance(self._data, bytearray):
            self._data = bytearray(self._data[self._at :])
        elif self._at:
            del self._data[: self._at]
        self._at = 0
        return self._data
