"""All networks that differ in anything, as flat tables: a look-up is one binary search, in any language."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from gslb.geo.location import IPNetwork, Located, Location

UNMAPPED = 0
"""The vantage of addresses that the map leaves to the search trees: see `Spans`."""

MAPPED_BITS = {4: 32, 6: 64}
"""The leading bits of an address that the map goes by."""

_HEAD_BITS = 16
_CHUNK = 4096  # elements of a step that no other thread can interrupt: a fraction of a millisecond
_MOST_LOCATED = 1 << 17  # outcomes kept as objects, some 200 bytes each

Resolve = Callable[[IPNetwork | None, tuple[int, ...]], Location]
"""The location for an override's network, else for a handle of each database; equal ones are one object."""


@dataclass(frozen=True, slots=True)
class Spans:
    """One address family, cut into networks inside which nothing differs; four buffers, never written again.

    starts: the first address of each, ascending from 0. IPv4: uint32. IPv6: the upper 64 bits, uint64.
    vantages: uint32, whose span it is: an index into `Vantages`.
    prefix_lengths: uint8, the length of the network, which is `Located.prefix_length`.
    heads: uint32, for each value of the first 16 bits (and one beyond) the number of spans that begin at or
        before it, so that a search begins between two neighbours.

    UNMAPPED are the /64s of IPv6 that are divided further (one in a thousand networks of a city database, and
    those of IPv4-mapped and NAT64 addresses), and 6to4 and Teredo. `Locator` finds the former in the trees,
    and what carries an IPv4 address through the IPv4 table.
    """

    starts: array[int]
    vantages: array[int]
    prefix_lengths: bytearray
    heads: array[int]

    @classmethod
    def of(cls, version: int, vantages: array[int], prefix_lengths: bytearray) -> Spans:
        """Networks in the order of addresses, without a gap: their lengths tell where they begin."""
        bits = MAPPED_BITS[version]
        sizes = [1 << (bits - length) for length in range(bits + 1)]
        starts = array("I" if version == 4 else "Q")
        start = 0
        for at in range(0, len(prefix_lengths), _CHUNK):
            begins = list(accumulate(map(sizes.__getitem__, prefix_lengths[at : at + _CHUNK]), initial=start))
            start = begins.pop()
            starts.extend(begins)
        shift = bits - _HEAD_BITS
        heads = array("I", [bisect_right(starts, top << shift) for top in range((1 << _HEAD_BITS) + 1)])
        return cls(starts, vantages, prefix_lengths, heads)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def size(self) -> int:
        """Bytes of memory."""
        columns = (self.starts, self.vantages, self.prefix_lengths, self.heads)
        return sum(memoryview(column).nbytes for column in columns)


@dataclass(frozen=True, slots=True)
class Vantages:
    """What can be told of clients: index → operator's network and one record of each database.

    An index beyond UNMAPPED stands for one location, network and carrier (none: who has one is UNMAPPED).
    That is found out when the vantage is first met, as to read a record takes as long as to map 200 networks.
    Two indices may turn out as one location when their records differ in what we do not read.

    networks: indices into `named`, which begins with None. handles: for each database, its record's handle.
    overrides: by named network, the override that it is in.
    """

    named: Sequence[IPNetwork | None]
    networks: array[int]
    handles: Sequence[array[int]]
    overrides: Mapping[IPNetwork | None, IPNetwork]

    def __len__(self) -> int:
        return len(self.networks)


class NetworkMap:
    """Outcomes of look-ups, for every address that is not UNMAPPED; safe to share between threads."""

    __slots__ = ("_located", "_locations", "_resolve", "ipv4", "ipv6", "vantages")

    def __init__(self, ipv4: Spans, ipv6: Spans, vantages: Vantages, resolve: Resolve) -> None:
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.vantages = vantages
        self._resolve = resolve
        self._locations: list[Location | None] = [None] * len(vantages)
        self._located: dict[int, Located] = {}

    def find4(self, number: int) -> Located | None:
        """The outcome for an IPv4 address; None where it is UNMAPPED (in a damaged tree only)."""
        spans = self.ipv4
        top = number >> 16
        at = bisect_right(spans.starts, number, spans.heads[top], spans.heads[top + 1]) - 1
        key = spans.vantages[at] << 8 | spans.prefix_lengths[at]
        return self._located.get(key) or self._outcome(key)

    def find6(self, number: int) -> Located | None:
        """The outcome for an IPv6 address; None where it is UNMAPPED."""
        spans = self.ipv6
        upper = number >> 64
        top = upper >> 48
        at = bisect_right(spans.starts, upper, spans.heads[top], spans.heads[top + 1]) - 1
        key = spans.vantages[at] << 8 | spans.prefix_lengths[at]
        return self._located.get(key) or self._outcome(key)

    def location(self, vantage: int) -> Location:
        """Where clients with this vantage are; the same object for as long as there is this map.

        Raises IndexError when there is no such vantage, and for UNMAPPED, which is in many places.
        """
        if vantage == UNMAPPED:
            raise IndexError("addresses of the vantage UNMAPPED are not all in one place")
        location = self._locations[vantage]
        if location is None:
            vantages = self.vantages
            override = vantages.overrides.get(self.network(vantage))
            handles = tuple(column[vantage] for column in vantages.handles)
            location = self._locations[vantage] = self._resolve(override, handles)
        return location

    def network(self, vantage: int) -> IPNetwork | None:
        """The longest of the operator's networks that clients with this vantage are in."""
        return self.vantages.named[self.vantages.networks[vantage]]

    def _outcome(self, key: int) -> Located | None:
        vantage = key >> 8
        if vantage == UNMAPPED:
            return None
        located = Located(self.location(vantage), key & 0xFF, self.network(vantage))
        if len(self._located) >= _MOST_LOCATED:
            self._located.clear()
        self._located[key] = located
        return located
