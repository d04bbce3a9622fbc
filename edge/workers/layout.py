"""Where each shared number lies, so that processes started apart agree on it to the byte. Pure.

A board is a row of 8-byte words in this machine's own order:

    header | told: one column a name | writer 0: one column a name | writer 1 | …

A column is one word for each row (a server, say). Each block begins on a cache line of its own, so that
writers on different cores do not slow each other down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b

MAGIC = 0x42534C4247  # "GBLSB", and the first word of every board
VERSION = 1
HEADER_WORDS = 8
WORD = 8
_LINE_WORDS = 8


class Kind(StrEnum):
    """What becomes of a column's values when the process that wrote them is gone.

    COUNTER: int64; stays, and the slot's next process counts on from there. GAUGE: int64, and LEVEL:
    float64, say something of the process itself, and go back to zero with it.
    """

    COUNTER = "counter"
    GAUGE = "gauge"
    LEVEL = "level"


SERVER_COLUMNS: Mapping[str, Kind] = {
    "in_flight": Kind.GAUGE,
    "idle": Kind.GAUGE,
    "requests": Kind.COUNTER,
    "failures": Kind.COUNTER,
    "connect_failures": Kind.COUNTER,
    "opened": Kind.COUNTER,
    "ejected": Kind.GAUGE,
    "latency": Kind.LEVEL,
}
"""What every worker writes of each server. latency: seconds, its peak EWMA."""

VERDICT_COLUMNS = ("usable", "verdict", "weight")
"""What the one process that probes writes of each server."""


@dataclass(frozen=True)
class Layout:
    """rows: names, unique, of what each column has a value for. columns: of every writer. told: of one."""

    rows: tuple[str, ...]
    writers: int
    columns: Mapping[str, Kind]
    told: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.writers < 1:
            raise ValueError("a board needs a writer")
        if len(set(self.rows)) != len(self.rows):
            raise ValueError("two rows of a board have the same name")
        if set(self.told) & set(self.columns) or len(set(self.told)) != len(self.told):
            raise ValueError("two columns of a board have the same name")

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        return {name: index for index, name in enumerate(self.rows)}

    @property
    def words(self) -> int:
        """The whole board's length in words."""
        return self._block(self.writers)

    def start(self, writer: int, name: str) -> int:
        """The word at which a writer's column begins; KeyError or IndexError if there is none."""
        if not 0 <= writer < self.writers:
            raise IndexError(f"writer {writer} of {self.writers}")
        return self._block(writer) + self._positions[name] * len(self.rows)

    def told_start(self, name: str) -> int:
        """The word at which a told column begins."""
        return HEADER_WORDS + self._told_positions[name] * len(self.rows)

    @cached_property
    def digest(self) -> int:
        """63 bits that differ between layouts that differ in anything."""
        columns = [f"{name}={kind}" for name, kind in self.columns.items()]
        parts = [str(self.writers), *self.rows, "", *columns, "", *self.told]
        text = "\0".join(f"{len(part)}:{part}" for part in parts)
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1

    @cached_property
    def _positions(self) -> Mapping[str, int]:
        return {name: index for index, name in enumerate(self.columns)}

    @cached_property
    def _told_positions(self) -> Mapping[str, int]:
        return {name: index for index, name in enumerate(self.told)}

    def _block(self, writer: int) -> int:
        told = _whole_lines(HEADER_WORDS + len(self.told) * len(self.rows))
        return told + writer * _whole_lines(len(self.columns) * len(self.rows))


def _whole_lines(words: int) -> int:
    return -(-words // _LINE_WORDS) * _LINE_WORDS
