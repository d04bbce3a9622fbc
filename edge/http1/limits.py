"""How much of a message may be buffered before it is refused, so that no peer can fill the memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """All in bytes, but `fields`, which counts the lines of one head or trailer.

    request_line: the first line, of a response too, without its line end. head: everything up to and with
    the empty line. trailer: the same for a trailer. chunk_line: a chunk's size and extensions without the
    line end.
    """

    request_line: int = 16384
    head: int = 32768
    fields: int = 100
    trailer: int = 8192
    chunk_line: int = 256


DEFAULT_LIMITS = Limits()
