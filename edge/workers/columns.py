"""Numbers that the workers of one edge share in memory: each column has one writer, and nobody takes a lock.

A board is a file without a name, mapped by everybody who has its descriptor: workers inherit it or get it
through a channel, so one that is started later attaches like the first. Every value is one aligned word that
is stored at once; readers add up the writers' columns, and see each value whole, though not all of the same
moment.

Totals never go back. A column of counters belongs to the worker's number, not to its process: when a process
dies, `forget` clears only what it alone stood for (requests in flight), and the next one counts on. A new
fleet gets a new board, its *successor*, which begins with the old one's values for the rows they have in
common. A worker that moves over takes with it what it has counted since (`adopt`), before anybody else looks
for it there: until it has moved its successor shows its values of a moment ago.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
import tempfile

from edge.workers.layout import HEADER_WORDS, MAGIC, VERSION, WORD, Kind, Layout
from gslb.errors import GslbError


class BoardError(GslbError):
    """A descriptor is no board, or one of another layout."""


class Board:
    """One mapping of a board; its descriptor stays open and is passed on as `fd`. `close` it once.

    generation: counts the successors, from 1.
    """

    def __init__(self, fd: int, layout: Layout) -> None:
        """Attach to the board at `fd`; raises BoardError, and leaves `fd` alone, if it is another one."""
        self.fd = fd
        self.layout = layout
        size = layout.words * WORD
        try:
            self._mapping = mmap.mmap(fd, size)
        except (OSError, ValueError) as error:
            raise BoardError(f"descriptor {fd} cannot be mapped as a board: {error}") from error
        self._bytes = memoryview(self._mapping)
        self._whole = self._bytes.cast("q")
        self._floats = self._bytes.cast("d")
        magic, version, digest, self.generation, words = self._whole[:5]
        expected = (MAGIC, VERSION, layout.digest, layout.words)
        if (magic, version, digest, words) != expected:
            self._unmap()
            raise BoardError(
                f"the board at descriptor {fd} has another layout",
                hint="the fleet's file has changed since it was made: reload once more",
            )
        rows, writers = len(layout.rows), range(layout.writers)

        def slices(name: str) -> tuple[slice, ...]:
            starts = (layout.start(writer, name) for writer in writers)
            return tuple(slice(start, start + rows) for start in starts)

        self._columns = {
            name: tuple(self._whole[each] for each in slices(name))
            for name, kind in layout.columns.items()
            if kind is not Kind.LEVEL
        }
        self._levels = {
            name: tuple(self._floats[each] for each in slices(name))
            for name, kind in layout.columns.items()
            if kind is Kind.LEVEL
        }
        starts = {name: layout.told_start(name) for name in layout.told}
        self._told = {name: self._whole[start : start + rows] for name, start in starts.items()}

    @classmethod
    def create(cls, layout: Layout, generation: int = 1) -> Board:
        """A board of zeros. Raises BoardError when there is no memory for it."""
        try:
            fd = nameless_file(layout.words * WORD)
        except OSError as error:
            raise BoardError(f"no memory to share between workers: {error.strerror}") from error
        header = (MAGIC, VERSION, layout.digest, generation, layout.words)
        padded = (*header, *(0,) * (HEADER_WORDS - len(header)))
        os.pwrite(fd, b"".join(word.to_bytes(WORD, sys.byteorder, signed=True) for word in padded), 0)
        return cls(fd, layout)

    def column(self, writer: int, name: str) -> memoryview[int]:
        """A writer's counter or gauge, one value a row. Only that writer stores into it."""
        return self._columns[name][writer]

    def columns(self, name: str) -> tuple[memoryview[int], ...]:
        """All writers' columns of that name, by their numbers."""
        return self._columns[name]

    def level(self, writer: int, name: str) -> memoryview[float]:
        """The same for a level."""
        return self._levels[name][writer]

    def levels(self, name: str) -> tuple[memoryview[float], ...]:
        """All writers' levels of that name, by their numbers."""
        return self._levels[name]

    def told(self, name: str) -> memoryview[int]:
        """A column that one process writes for all."""
        return self._told[name]

    def total(self, name: str, row: int) -> int:
        """The sum of a counter or gauge over all writers."""
        return sum(column[row] for column in self._columns[name])

    def totals(self, name: str) -> list[int]:
        """That sum for every row."""
        return [sum(values) for values in zip(*self._columns[name], strict=True)]

    def forget(self, writer: int) -> None:
        """A writer's process is gone: clear what only it stood for. For who knows that it is gone."""
        for name, kind in self.layout.columns.items():
            for row in range(len(self.layout.rows)):
                if kind is Kind.GAUGE:
                    self._columns[name][writer][row] = 0
                elif kind is Kind.LEVEL:
                    self._levels[name][writer][row] = 0.0

    def successor(self, layout: Layout) -> Board:
        """The next generation, with these values in every row and column that both know.

        Raises ValueError when it has fewer writers: somebody's counts would be lost.
        """
        if layout.writers < self.layout.writers:
            raise ValueError(f"{self.layout.writers} workers cannot become {layout.writers} while they run")
        fresh = Board.create(layout, self.generation + 1)
        for writer in range(self.layout.writers):
            fresh.adopt(self, writer)
        for row, old_row in _common_rows(layout, self.layout):
            for name in set(layout.told) & set(self.layout.told):
                fresh.told(name)[row] = self._told[name][old_row]
        return fresh

    def adopt(self, before: Board, writer: int) -> None:
        """A writer moves over from the board `before`. It calls this itself, or who knows that it is gone."""
        for name, kind in self.layout.columns.items():
            if before.layout.columns.get(name) is not kind:
                continue
            for row, old_row in _common_rows(self.layout, before.layout):
                if kind is Kind.LEVEL:
                    self._levels[name][writer][row] = before.level(writer, name)[old_row]
                else:
                    self._columns[name][writer][row] = before.column(writer, name)[old_row]

    def close(self) -> None:
        """Unmap, and close the descriptor; columns cannot be used any more."""
        for columns in self._columns.values():
            for column in columns:
                column.release()
        for levels in self._levels.values():
            for level in levels:
                level.release()
        for told in self._told.values():
            told.release()
        self._unmap()
        os.close(self.fd)

    def _unmap(self) -> None:
        self._whole.release()
        self._floats.release()
        self._bytes.release()
        self._mapping.close()


def _common_rows(layout: Layout, before: Layout) -> list[tuple[int, int]]:
    """Pairs of a row and what it was before."""
    old = before.row_of
    return [(row, old[name]) for name, row in layout.row_of.items() if name in old]


def nameless_file(size: int) -> int:
    """A descriptor of `size` zero bytes of memory, closed on exec unless it is passed on."""
    if sys.platform == "linux":
        fd = os.memfd_create("gslb-edge")
    else:
        with tempfile.TemporaryFile(prefix="gslb-edge-") as file:
            fd = os.dup(file.fileno())
    try:
        # Taken now: a store into a page that there is no room for would end the process with SIGBUS.
        with contextlib.suppress(AttributeError):
            os.posix_fallocate(fd, 0, size)
        os.ftruncate(fd, size)
    except OSError:
        os.close(fd)
        raise
    return fd
