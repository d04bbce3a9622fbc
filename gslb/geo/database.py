"""One MMDB file in memory: which of its records belongs to an address, and how far around it that holds.

maxminddb reads the metadata and decodes the records. The search tree is walked here, because what a caller
needs of a look-up is not the record's text again and again but which record it is: that is its offset in
the file, found without decoding anything.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import maxminddb
from maxminddb.decoder import Decoder

from gslb.errors import GeoError
from gslb.geo.records import knows_place, read_record

MISSING = 0

# What decoding a damaged record can raise, depending on the version of maxminddb.
DECODING_ERRORS = (
    maxminddb.InvalidDatabaseError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    struct.error,
)
_SEPARATOR = 16  # zero bytes between the tree and the data section
_STRIDE = 16  # bits that a look-up takes in one step
_SAMPLE = 200  # records looked at before a database is believed
_REMEDY = "geo.databases wants MMDB files that tell country, coordinates or ASN: GeoLite2, DB-IP, IPinfo"


@dataclass(frozen=True, slots=True)
class Signature:
    """What tells one state of a file from the next without reading it."""

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, path: str | Path) -> Signature:
        """Raises GeoError when there is no such file."""
        try:
            status = os.stat(path)
        except OSError as error:
            raise GeoError(
                f"{path}: cannot be read: {error.strerror}", hint="check the path in geo.databases"
            ) from error
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class Database:
    """An MMDB file, read whole; immutable, and independent of the file from then on.

    A mapped file that someone truncates kills its readers with SIGBUS; a copy in memory cannot be hurt.
    A record is named by its handle, a positive number; MISSING stands for none.
    """

    def __init__(self, path: str | Path) -> None:
        """Raises GeoError when the file cannot be read, is damaged, or tells nothing about places or ASNs."""
        self.path = str(path)
        self.signature = Signature.of(path)
        try:
            content = Path(path).read_bytes()
            self.metadata = maxminddb.open_database(io.BytesIO(content), maxminddb.MODE_FD).metadata()
            self.tree, self._data = _parts(content, self.metadata.node_count, self.metadata.record_size)
        except OSError as error:
            raise GeoError(f"{path}: cannot be read: {error.strerror}", hint=_REMEDY) from error
        except DECODING_ERRORS as error:
            raise GeoError(f"{path}: is not a usable MMDB file: {error}", hint=_REMEDY) from error
        self.node_count = self.metadata.node_count
        self.bits = 128 if self.metadata.ip_version == 6 else 32
        self._base = self.node_count + _SEPARATOR
        self._decoder = Decoder(self._data, 0)
        self._validate()
        root, depth = (0, 0) if self.bits == 32 else self._walk(0, 0, 96)
        # A file without any IPv4 ends above ::/96; then the whole IPv4 space is one leaf.
        self._ipv4 = _heads(self.tree, self.node_count, root, 0) if depth in (0, 96) else None
        self._ipv4_root = root
        self._ipv6 = _heads(self.tree, self.node_count, 0, 0) if self.bits == 128 else None

    @cached_property
    def digest(self) -> bytes:
        """Tells this content from any other, on machines of one byte order; 0.2 s for 130 MB."""
        content = hashlib.sha256(self._data)
        content.update(self.tree)
        return content.digest()

    def find4(self, number: int) -> tuple[int, int]:
        """The handle of the record of an IPv4 address, and the length of its leaf, at most 32."""
        if self._ipv4 is None:
            return self.handle(self._ipv4_root), 0
        nodes, depths = self._ipv4
        top = number >> _STRIDE
        node = nodes[top]
        if node >= self.node_count:
            return self.handle(node), depths[top]
        node, depth = self._walk(node, number & 0xFFFF, _STRIDE)
        return self.handle(node), _STRIDE + depth

    def find6(self, number: int) -> tuple[int, int]:
        """The handle of the record of an IPv6 address, and the length of its leaf, at most 128."""
        if self._ipv6 is None:
            return MISSING, 0
        nodes, depths = self._ipv6
        top = number >> 112
        node = nodes[top]
        if node >= self.node_count:
            return self.handle(node), depths[top]
        # Numbers of up to 60 bits are cheaper to shift than those of 112, and nearly always enough.
        node, depth = self._walk(node, number >> 64 & 0xFFFFFFFFFFFF, 48)
        if node < self.node_count:
            node, more = self._walk(node, number & 0xFFFFFFFFFFFFFFFF, 64)
            depth += more
        return self.handle(node), _STRIDE + depth

    def root(self, version: int) -> int:
        """Where the addresses of this IP version begin: a node, or a leaf if there is but one outcome."""
        if version == 4:
            return self._ipv4_root
        return 0 if self.bits == 128 else self.node_count

    def handle(self, value: int) -> int:
        """The handle of the record that a value in the tree points to; MISSING if it points to none."""
        return value - self.node_count if value > self.node_count else MISSING

    def record(self, handle: int) -> Any:
        """Decode the record with this handle; None for MISSING. Raises one of DECODING_ERRORS if damaged."""
        if handle == MISSING:
            return None
        return self._decoder.decode(handle - _SEPARATOR)[0]

    def leaves(self, version: int) -> Iterator[tuple[int, int, int]]:
        """First address, length and handle of every network of this IP version that has a record.

        Of IPv6, the part below ::/96 is left out where it is the IPv4 part. In the order of addresses.
        """
        bits, root = (32, self._ipv4_root) if version == 4 else (128, 0)
        if self.node_count == 0 or (version == 6 and self.bits == 32):
            return
        waiting = [(root, 0, 0)]
        while waiting:
            node, first, depth = waiting.pop()
            if node < self.node_count:
                if not (version == 6 and depth == 96 and first == 0):
                    half = 1 << (bits - 1 - depth)
                    waiting.append((self.tree[2 * node + 1], first + half, depth + 1))
                    waiting.append((self.tree[2 * node], first, depth + 1))
            elif node > self.node_count:
                yield first, depth, node - self.node_count

    def _walk(self, node: int, number: int, width: int) -> tuple[int, int]:
        """From `node` down along the `width` bits of `number`: where that ends, and after how many bits."""
        tree, count = self.tree, self.node_count
        shift = width
        while node < count and shift:
            shift -= 1
            node = tree[node + node + (number >> shift & 1)]
        return node, width - shift

    def _validate(self) -> None:
        """Every pointer leads into the file, and a sample of the records says something of use."""
        if max(self.tree, default=0) >= self._base + len(self._data):
            raise GeoError(f"{self.path}: is damaged: its tree points past its end", hint=_REMEDY)
        useful = 0
        for handle in self._sample():
            try:
                location = read_record(self.record(handle))
            except DECODING_ERRORS as error:
                raise GeoError(f"{self.path}: is damaged: {error}", hint="fetch the file again") from error
            useful += knows_place(location) or location.asn is not None
        if not useful:
            kind = self.metadata.database_type
            raise GeoError(f"{self.path}: no record of this {kind} database tells a place", hint=_REMEDY)

    def _sample(self) -> Iterator[int]:
        step = max(1, len(self.tree) // (_SAMPLE * 4))
        handles = (value - self.node_count for value in self.tree[::step] if value > self.node_count)
        found = list(dict.fromkeys(handles))[:_SAMPLE]
        if not found:
            found = [value - self.node_count for value in self.tree if value > self.node_count][:_SAMPLE]
        yield from found


_HIGH = bytes(byte >> 4 for byte in range(256))
_LOW = bytes(byte & 15 for byte in range(256))


def _parts(content: bytes, node_count: int, record_size: int) -> tuple[array[int], bytes]:
    """The search tree as native numbers (left and right of each node in turn), and the data section.

    The three layouts (MaxMind DB 2.0, "Node Layout") are unpacked by slices, which takes a fraction of a
    second for millions of nodes where a loop would take many.
    """
    size = node_count * record_size // 4
    raw = content[:size]
    words = bytearray(node_count * 8)
    if record_size == 24:
        for source, target in zip(range(6), (1, 2, 3, 5, 6, 7), strict=True):
            words[target::8] = raw[source::6]
    elif record_size == 28:
        for source, target in zip((0, 1, 2, 4, 5, 6), (1, 2, 3, 5, 6, 7), strict=True):
            words[target::8] = raw[source::7]
        middle = raw[3::7]
        words[0::8] = middle.translate(_HIGH)
        words[4::8] = middle.translate(_LOW)
    else:
        words[:] = raw
    tree = array("I")
    tree.frombytes(bytes(words))
    if sys.byteorder == "little":
        tree.byteswap()
    return tree, content[size + _SEPARATOR :]


def _heads(tree: array[int], count: int, root: int, start: int) -> tuple[array[int], bytes]:
    """For each of the first 2^16 prefixes: the node (or leaf) that it leads to, and how deep that is."""
    nodes, depths = array("I", bytes(4 << _STRIDE)), bytearray(1 << _STRIDE)
    stack = [(root, start, 0)]
    while stack:
        node, first, depth = stack.pop()
        if depth == _STRIDE or node >= count:
            span = 1 << (_STRIDE - depth)
            nodes[first : first + span] = array("I", [node]) * span
            depths[first : first + span] = bytes([depth]) * span
        else:
            stack.append((tree[node + node], first, depth + 1))
            stack.append((tree[node + node + 1], first + (1 << (_STRIDE - 1 - depth)), depth + 1))
    return nodes, bytes(depths)
