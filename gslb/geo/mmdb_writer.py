"""Writes MMDB files (MaxMind DB 2.0), for the condensed database that we ship and for tests.

Specification: https://maxmind.github.io/MaxMind-DB/
"""

from __future__ import annotations

import os
import struct
import sys
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

from gslb.geo.location import IPNetwork

_MARKER = b"\xab\xcd\xefMaxMind.com"
_SEPARATOR = 16
# Type numbers; those above 7 are "extended": a zero type, then the number less 7.
_POINTER, _TEXT, _DOUBLE, _BYTES, _UINT16, _UINT32, _MAP = 1, 2, 3, 4, 5, 6, 7
_INT32, _UINT64, _UINT128, _ARRAY, _BOOLEAN, _SINGLE = 8, 9, 10, 11, 14, 15
_POINTER_SPANS = ((0, 2048), (2048, 526336), (526336, 526336 + (1 << 27)))  # by the bytes they take


class Single(float):
    """A number to be stored in single precision: half the size, and exact for multiples of 1/8 degree."""


class _Unsigned32(int):
    """A number that readers want as 32 bits, be it ever so small."""


class _Unsigned64(int):
    """A number that readers want as 64 bits, be it ever so small."""


class MmdbWriter:
    """Collects networks and their records, and turns them into one file.

    A network inserted later replaces what was there before inside it. Equal records, maps and texts are
    stored once. With ip_version 6, IPv4 networks go below ::/96, as readers expect.
    """

    def __init__(self, database_type: str, *, ip_version: int = 6, description: str = "") -> None:
        self.ip_version = ip_version
        self._type = database_type
        self._description = description
        # Two slots a node. 0: nothing; n > 0: node n; n < 0: the record at offset -n - 1.
        self._tree = [0, 0]
        self._section = _Section()

    @property
    def data_size(self) -> int:
        """Bytes of the records so far."""
        return len(self._section.data)

    def add(self, record: object) -> int:
        """Store a record (dict, list, str, float, int, bool, bytes); the handle is for `insert_prefix`.

        Raises TypeError for anything else in it, OverflowError for numbers that the format cannot hold.
        """
        return -self._section.store(record) - 1

    def insert(self, network: IPNetwork, record: object) -> None:
        """Raises ValueError for an IPv6 network in an IPv4 database."""
        number, length = int(network.network_address), network.prefixlen
        if network.version == 4 and self.ip_version == 6:
            length += 96
        elif network.version > self.ip_version:
            raise ValueError(f"{network} does not fit into a database of IPv{self.ip_version}")
        self.insert_prefix(number, length, self.add(record))

    def insert_prefix(self, number: int, length: int, handle: int) -> None:
        """`insert` by the number of the first address, counted in the database's own address family."""
        tree, node = self._tree, 0
        shift = 32 if self.ip_version == 4 else 128
        if length == 0:
            tree[0] = tree[1] = handle
            return
        for _ in range(length - 1):
            shift -= 1
            slot = node + node + (number >> shift & 1)
            below = tree[slot]
            if below <= 0:
                # A leaf becomes a node both halves of which are what the leaf was.
                tree += (below, below)
                below = tree[slot] = len(tree) // 2 - 1
            node = below
        tree[node + node + (number >> (shift - 1) & 1)] = handle

    def to_bytes(self, build_epoch: int) -> bytes:
        """The file. build_epoch: seconds since 1970."""
        tree = self._in_order()
        count = len(tree) // 2
        data = bytes(self._section.data)
        highest = count + _SEPARATOR + len(data)
        record_size = next(size for size in (24, 28, 32) if highest < 1 << size)
        values = array("I", [_slot_value(slot, count) for slot in tree])
        metadata = _Section()
        metadata.store(
            {
                "binary_format_major_version": 2,
                "binary_format_minor_version": 0,
                "build_epoch": _Unsigned64(build_epoch),
                "database_type": self._type,
                "description": {"en": self._description},
                "ip_version": self.ip_version,
                "languages": ["en"],
                "node_count": _Unsigned32(count),
                "record_size": record_size,
            }
        )
        return b"".join(
            (_packed(values, record_size), bytes(_SEPARATOR), data, _MARKER, bytes(metadata.data))
        )

    def write(self, path: Path, build_epoch: int) -> int:
        """Put the file in place at once, so that no reader sees half of it; return its size in bytes."""
        content = self.to_bytes(build_epoch)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            beside.write_bytes(content)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        return len(content)

    def _in_order(self) -> list[int]:
        """The tree depth first, without nodes that later inserts have cut off."""
        ordered: list[int] = [0, 0]
        waiting = [(self._tree[1], 1), (self._tree[0], 0)]
        while waiting:
            value, slot = waiting.pop()
            if value <= 0:
                ordered[slot] = value
                continue
            node = len(ordered) // 2
            ordered[slot] = node
            ordered += (0, 0)
            waiting.append((self._tree[2 * value + 1], 2 * node + 1))
            waiting.append((self._tree[2 * value], 2 * node))
        return ordered


def _slot_value(slot: int, count: int) -> int:
    if slot > 0:
        return slot
    return count if slot == 0 else count + _SEPARATOR - slot - 1


def _packed(values: array[int], record_size: int) -> bytes:
    """Nodes in the format's layout; slices instead of a loop, as there may be millions."""
    if sys.byteorder == "little":
        values.byteswap()
    words = values.tobytes()
    if record_size == 32:
        return words
    packed = bytearray(len(words) * record_size // 32)
    if record_size == 24:
        for target, source in zip(range(6), (1, 2, 3, 5, 6, 7), strict=True):
            packed[target::6] = words[source::8]
    else:
        for target, source in zip((0, 1, 2, 4, 5, 6), (1, 2, 3, 5, 6, 7), strict=True):
            packed[target::7] = words[source::8]
        packed[3::7] = bytes(left << 4 | right for left, right in zip(words[0::8], words[4::8], strict=True))
    return bytes(packed)


class _Section:
    """A data section; texts, maps and lists that occurred before become pointers to where they stand."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._seen: dict[object, int] = {}

    def store(self, record: object) -> int:
        """Append a record if it is new; its offset either way."""
        key = _key(record)
        if (offset := self._seen.get(key)) is None:
            offset = self._seen[key] = len(self.data)
            self._append(record)
        return offset

    def _place(self, value: object) -> None:
        """Append a value inside another one, or a pointer to an equal one where that is shorter."""
        if isinstance(value, Mapping | list) or (isinstance(value, str) and len(value) > 1):
            key = _key(value)
            if (offset := self._seen.get(key)) is not None:
                self._point(offset)
                return
            self._seen[key] = len(self.data)
        self._append(value)

    def _append(self, value: object) -> None:
        if isinstance(value, Mapping):
            self._head(_MAP, len(value))
            for key, inner in value.items():
                self._place(str(key))
                self._place(inner)
        elif isinstance(value, list):
            self._head(_ARRAY, len(value))
            for inner in value:
                self._place(inner)
        else:
            self._scalar(value)

    def _scalar(self, value: object) -> None:
        if isinstance(value, str):
            text = value.encode()
            self._head(_TEXT, len(text))
            self.data += text
        elif isinstance(value, bytes):
            self._head(_BYTES, len(value))
            self.data += value
        elif isinstance(value, bool):
            self._head(_BOOLEAN, int(value))
        elif isinstance(value, float):
            single = isinstance(value, Single)
            self._head(_SINGLE if single else _DOUBLE, 4 if single else 8)
            self.data += struct.pack(">f" if single else ">d", value)
        elif isinstance(value, int):
            self._integer(value)
        else:
            raise TypeError(f"an MMDB record cannot hold a {type(value).__name__}: {value!r}")

    def _integer(self, value: int) -> None:
        if value < 0:
            self._head(_INT32, 4)
            self.data += value.to_bytes(4, "big", signed=True)
            return
        size = (value.bit_length() + 7) // 8
        limits = ((2, _UINT16), (4, _UINT32), (8, _UINT64), (16, _UINT128))
        kind = next((kind for limit, kind in limits if size <= limit), None)
        if isinstance(value, _Unsigned32):
            kind = _UINT32
        elif isinstance(value, _Unsigned64):
            kind = _UINT64
        if kind is None:
            raise OverflowError(f"an MMDB record cannot hold a number of {size} bytes")
        self._head(kind, size)
        self.data += value.to_bytes(size, "big")

    def _head(self, kind: int, size: int) -> None:
        """The control byte (and those after it) of the format's "Data Field Format"."""
        if size < 29:
            low, more = size, b""
        elif size < 285:
            low, more = 29, (size - 29).to_bytes(1, "big")
        elif size < 65821:
            low, more = 30, (size - 285).to_bytes(2, "big")
        else:
            low, more = 31, (size - 65821).to_bytes(3, "big")
        self.data += bytes([kind << 5 | low]) if kind <= 7 else bytes([low, kind - 7])
        self.data += more

    def _point(self, offset: int) -> None:
        for size, (first, end) in enumerate(_POINTER_SPANS):
            if offset < end:
                packed = (offset - first).to_bytes(size + 2, "big")
                self.data += bytes([_POINTER << 5 | size << 3 | packed[0]]) + packed[1:]
                return
        self.data += bytes([_POINTER << 5 | 3 << 3]) + offset.to_bytes(4, "big")


def _key(value: object) -> object:
    """What makes two values the same in a file: equal, and of the same type all the way down."""
    if isinstance(value, Mapping):
        return ("map", *((key, _key(inner)) for key, inner in value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ("list", *(_key(inner) for inner in value))
    return (type(value).__name__, value)
