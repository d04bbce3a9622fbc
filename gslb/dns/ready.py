"""Answers that only wait for their queries, as plain Python repeats them."""

from __future__ import annotations

import struct

from gslb.dns.packing import Packed
from gslb.dns.query import RD
from gslb.fleet import Fleet

_COUNTS = struct.Struct("!5H")
_NEVER_FITS = 1 << 16


class Ready:
    """One of them.

    heads: of the message after the ID, by what became of the query's header: 1 for RD | 2 for OPT.
    tail: all that follows the question but OPT. length: of it; more than there is ever room for if it is not
    the same for everybody. error: whether it is one. place: of the region answered among its service's, or
    -1.
    """

    __slots__ = ("error", "heads", "length", "packed", "place", "rcode", "tail")

    def __init__(self, packed: Packed, fleet: Fleet) -> None:
        whole = packed.cuts[0]
        self.packed = packed
        self.heads = tuple(
            _COUNTS.pack(
                packed.flags | (RD if bits & 1 else 0),
                1,
                whole.answers,
                whole.authorities,
                whole.additionals + (bits >> 1),
            )
            for bits in range(4)
        )
        self.tail = packed.tail
        self.length = len(packed.tail) if packed.extended_error is None else _NEVER_FITS
        self.rcode = packed.flags & 15
        self.error = self.rcode != 0
        self.place = -1
        if packed.served is not None:
            service, region = packed.served
            self.place = fleet.services[service].regions.index(region)
