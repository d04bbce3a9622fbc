"""All networks that differ in anything, as flat tables: a look-up is one binary search, in any language."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import accumulate

from gslb.geo.location import IPAddress, IPNetwork, Located, Location

UNMAPPED = 0
"""The vantage of addresses that the map leaves to the search trees: see `Spans`."""

MAPPED_BITS = {4: 32, 6: 64}
"""The leading bits of an address that the map goes by."""

_CHUNK = 4096  # elements of a step that no other thread can interrupt: a fraction of a millisecond
_MOST_LOCATED = 1 << 17  # outcomes kept as objects, some 200 bytes each

HEAD_BITS = 16
"""The leading bits of an address by which `Spans.heads` says where to search."""

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
        shift = bits - HEAD_BITS
        heads = array("I", [bisect_right(starts, top << shift) for top in range((1 << HEAD_BITS) + 1)])
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
    overrides: for each of `named`, the index of the override that its clients are in; 0 if they are in none.
    """

    named: Sequence[IPNetwork | None]
    networks: array[int]
    handles: Sequence[array[int]]
    overrides: array[int]

    def __len__(self) -> int:
        return len(self.networks)


@dataclass(frozen=True, slots=True)
class Tables:
    """All of a network map but for the look-ups."""

    ipv4: Spans
    ipv6: Spans
    vantages: Vantages


class NetworkMap:
    """Outcomes of look-ups, for every address that is not UNMAPPED; safe to share between threads."""

    __slots__ = ("_examples", "_located", "_locations", "_resolve", "ipv4", "ipv6", "vantages")

    def __init__(self, ipv4: Spans, ipv6: Spans, vantages: Vantages, resolve: Resolve) -> None:
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.vantages = vantages
        self._resolve = resolve
        self._locations: list[Location | None] = [None] * len(vantages)
        self._located: dict[int, Located] = {}
        self._examples: dict[int, IPAddress] | None = None

    @property
    def tables(self) -> Tables:
        """What is worth keeping of it."""
        return Tables(self.ipv4, self.ipv6, self.vantages)

    def key4(self, number: int) -> int:
        """What is known of an IPv4 address, as a number: the vantage << 8 | the length of its network."""
        spans = self.ipv4
        top = number >> 16
        at = bisect_right(spans.starts, number, spans.heads[top], spans.heads[top + 1]) - 1
        return spans.vantages[at] << 8 | spans.prefix_lengths[at]

    def key6(self, upper: int) -> int:
        """The same for an IPv6 address, of which only the upper 64 bits count."""
        spans = self.ipv6
        top = upper >> 48
        at = bisect_right(spans.starts, upper, spans.heads[top], spans.heads[top + 1]) - 1
        return spans.vantages[at] << 8 | spans.prefix_lengths[at]

    def located(self, key: int) -> Located | None:
        """The outcome that a key stands for; None for UNMAPPED. Raises IndexError for no key of this map."""
        return self._located.get(key) or self._outcome(key)

    def find4(self, number: int) -> Located | None:
        """The outcome for an IPv4 address; None where it is UNMAPPED (in a damaged tree only)."""
        key = self.key4(number)
        return self._located.get(key) or self._outcome(key)

    def find6(self, number: int) -> Located | None:
        """The outcome for an IPv6 address; None where it is UNMAPPED."""
        key = self.key6(number >> 64)
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
            overriding = vantages.overrides[vantages.networks[vantage]]
            handles = tuple(column[vantage] for column in vantages.handles)
            location = self._locations[vantage] = self._resolve(vantages.named[overriding], handles)
        return location

    def network(self, vantage: int) -> IPNetwork | None:
        """The longest of the operator's networks that clients with this vantage are in."""
        return self.vantages.named[self.vantages.networks[vantage]]

    def examples(self) -> dict[int, IPAddress]:
        """An address for every vantage, wherever it has one; the first time it is a second of work for a city
        database."""
        if self._examples is not None:
            return self._examples
        examples: dict[int, IPAddress] = {}
        for version, spans in ((6, self.ipv6), (4, self.ipv4)):
            starts: dict[int, int] = {}
            for at in range(0, len(spans), _CHUNK):
                chunk = slice(at, at + _CHUNK)
                starts.update(zip(spans.vantages[chunk], spans.starts[chunk], strict=True))
            for vantage, start in starts.items():
                examples[vantage] = IPv4Address(start) if version == 4 else IPv6Address(start << 64)
        examples.pop(UNMAPPED, None)
        self._examples = examples
        return examples

    @property
    def has_examples(self) -> bool:
        """Whether `examples` is quick by now."""
        return self._examples is not None

    def _outcome(self, key: int) -> Located | None:
        vantage = key >> 8
        if vantage == UNMAPPED:
            return None
        located = Located(self.location(vantage), key & 0xFF, self.network(vantage))
        if len(self._located) >= _MOST_LOCATED:
            self._located.clear()
        self._located[key] = located
        return located
