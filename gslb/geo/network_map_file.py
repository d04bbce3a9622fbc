"""A network map as a file: the columns as they are in memory, so that it is read as fast as it is copied.

Nothing is mapped into memory: a file that somebody truncates would kill its readers with SIGBUS.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from gslb.geo.location import IPNetwork
from gslb.geo.network_map import HEAD_BITS, Spans, Tables, Vantages
from gslb.geo.network_map_check import all_below, is_sound

FORMAT = 1
"""Goes up with every change of the layout or of what `build_network_map` makes of the same databases."""

_MAGIC = b"gslb network map"
# Magic, format, databases, key; then the lengths of `ipv4`, `ipv6`, `vantages` and `vantages.named`. In the
# machine's byte order, by which the format of a file from elsewhere is another one.
_HEADER = struct.Struct("=16sII32sQQQQ")
_CHECKSUM = 32  # bytes, at the end
_CHUNK = 1 << 18  # bytes that are read or written at a time


class UnusableMapError(Exception):
    """A file holds no network map, or another one, or a damaged one; says which."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a map depends on: when this is equal, so is the map.

    databases: their digests, in the order they are consulted. named: the operator's networks, in order.
    overridden: those of them that are overrides. What an override says is no part of the map.
    """

    databases: tuple[bytes, ...]
    named: tuple[IPNetwork, ...]
    overridden: frozenset[IPNetwork]

    @property
    def key(self) -> bytes:
        """32 bytes that tell this origin, and this format, from any other."""
        said = hashlib.sha256(f"{FORMAT} {sys.byteorder} {len(self.databases)} ".encode())
        for digest in self.databases:
            said.update(digest)
        for network in self.named:
            said.update(f"{network} {network in self.overridden}\n".encode())
        return said.digest()


def file_size(tables: Tables) -> int:
    """Bytes that `write_map` writes."""
    return _HEADER.size + sum(memoryview(column).nbytes for column in _columns(tables)) + _CHECKSUM


def write_map(file: BinaryIO, tables: Tables, key: bytes) -> None:
    """Raises OSError."""
    vantages = tables.vantages
    lengths = (len(tables.ipv4), len(tables.ipv6), len(vantages), len(vantages.named))
    header = _HEADER.pack(_MAGIC, FORMAT, len(vantages.handles), key, *lengths)
    checksum = hashlib.sha256(header)
    file.write(header)
    for column in _columns(tables):
        content = memoryview(column).cast("B")
        for at in range(0, len(content), _CHUNK):
            part = content[at : at + _CHUNK]
            checksum.update(part)
            file.write(part)
    file.write(checksum.digest())


def read_map(file: BinaryIO, size: int, origin: Origin) -> Tables:
    """The tables in a file of `size` bytes, when they were made for this origin and are whole and sound.

    Raises UnusableMapError when they are not, OSError when the file cannot be read.
    """
    header = file.read(_HEADER.size)
    if len(header) != _HEADER.size or not header.startswith(_MAGIC):
        raise UnusableMapError("it is no network map")
    _, version, databases, key, *lengths = _HEADER.unpack(header)
    if (version, key, databases) != (FORMAT, origin.key, len(origin.databases)):
        raise UnusableMapError("it was made of something else")
    reader = _Reader(file, header, size)
    tables = _read_tables(reader, databases, lengths)
    if reader.left != _CHECKSUM or file.read(_CHECKSUM + 1) != reader.checksum.digest():
        raise UnusableMapError("it is damaged")
    if lengths[3] != len(origin.named) + 1 or not _are_sound(tables, origin):
        raise UnusableMapError("its columns contradict each other")
    return tables


class _Reader:
    """Reads columns, and says that a file is damaged before room is made for more than it holds."""

    def __init__(self, file: BinaryIO, header: bytes, size: int) -> None:
        self.left = size - len(header)
        self.checksum = hashlib.sha256(header)
        self._file = file

    def numbers(self, typecode: str, length: int) -> array[int]:
        column = array(typecode)
        # Piece by piece, since to extend a column by all of it stops every thread for tens of milliseconds.
        for part in self._parts(length * column.itemsize):
            column.frombytes(part)
        return column

    def lengths(self, length: int) -> bytearray:
        column = bytearray()
        for part in self._parts(length):
            column += part
        return column

    def _parts(self, size: int) -> Iterator[bytes]:
        self.left -= size
        if self.left < _CHECKSUM:
            raise UnusableMapError("it is cut short")
        while size:
            part = self._file.read(min(size, _CHUNK))
            if len(part) < min(size, _CHUNK):
                raise UnusableMapError("it is cut short")
            self.checksum.update(part)
            size -= len(part)
            yield part


def _read_tables(reader: _Reader, databases: int, lengths: list[int]) -> Tables:
    ipv4 = _read_spans(reader, "I", lengths[0])
    ipv6 = _read_spans(reader, "Q", lengths[1])
    networks = reader.numbers("I", lengths[2])
    handles = [reader.numbers("I", lengths[2]) for _ in range(databases)]
    return Tables(ipv4, ipv6, Vantages((), networks, handles, reader.numbers("I", lengths[3])))


def _read_spans(reader: _Reader, typecode: str, length: int) -> Spans:
    starts, vantages = reader.numbers(typecode, length), reader.numbers("I", length)
    return Spans(starts, vantages, reader.lengths(length), reader.numbers("I", (1 << HEAD_BITS) + 1))


def _columns(tables: Tables) -> Iterator[array[int] | bytearray]:
    """In the order of the file."""
    for spans in (tables.ipv4, tables.ipv6):
        yield from (spans.starts, spans.vantages, spans.prefix_lengths, spans.heads)
    yield tables.vantages.networks
    yield from tables.vantages.handles
    yield tables.vantages.overrides


def _are_sound(tables: Tables, origin: Origin) -> bool:
    vantages = tables.vantages
    count, named = len(vantages), len(origin.named) + 1
    return (
        is_sound(tables.ipv4, 4, count)
        and is_sound(tables.ipv6, 6, count)
        and all_below(vantages.networks, named)
        and all_below(vantages.overrides, named)
        and all(not at or origin.named[at - 1] in origin.overridden for at in vantages.overrides)
    )
