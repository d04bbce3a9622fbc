"""Requests with the same key go to the same server, and no server gets much more than its share."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import shake_128
from math import inf, log
from typing import TypeVar
from zlib import crc32

from edge.balance.base import Candidate, Method
from edge.balance.bounded_load import in_flight_per_weight
from edge.balance.slow_start import takes
from gslb.balancing import ConsistentHashOptions

ServerT = TypeVar("ServerT", bound=Candidate)

_SLOT_BITS = 15
_SLOTS = 1 << _SLOT_BITS
_REMEMBERED_ORDERS = 4096
_REMEMBERED_SERVERS = 256
_NOBODY = -1
_TO_UNIT = 1 / (2**32 + 1)
_DEFAULTS = ConsistentHashOptions()


class ConsistentHash(Method[ServerT]):
    """Keys fall into slots, and every slot has its own order of all servers (weighted rendezvous hashing).

    A server owns slots in proportion to its weight. One that leaves or is down moves its own slots and no
    others, to all the rest by weight; one that is merely down gets them back. Edges agree without talking,
    whatever the order of their servers.

    A Maglev table would divide slots more evenly (here a share is off by about 1 % in a pool of three, 5 %
    in one of a hundred), but it moves other servers' slots too, and is to be filled as a whole at once.
    State: whose the slots are, as far as was asked.
    """

    __slots__ = ("_bound", "_columns", "_order", "_owners", "_servers")

    def __init__(self, servers: Sequence[ServerT], options: ConsistentHashOptions = _DEFAULTS) -> None:
        # By name, so that among equal distances every edge finds the same one first.
        self._servers = tuple(sorted(servers, key=lambda server: server.name))
        self._columns = tuple(
            (_numbers(server.name), 1 / server.full_weight if server.full_weight > 0 else inf)
            for server in self._servers
        )
        self._bound = options.bound
        self._owners = array("i", [_NOBODY]) * _SLOTS
        self._order = lru_cache(_REMEMBERED_ORDERS)(self._compute_order)

    def candidates(self, key: str, /) -> Iterator[ServerT]:
        servers = self._servers
        if not servers:
            return
        slot = _slot(key)
        owner = self._owners[slot]
        if owner == _NOBODY:
            distances = self._distances(slot)
            owner = self._owners[slot] = distances.index(min(distances))
        first = servers[owner]
        if (
            not first.usable
            or not self._is_below_bound(first)
            or (first.weight != first.full_weight and not takes(first, key))
        ):
            yield from self._walk(slot, key)
            return
        yield first
        for server in self._walk(slot, key):
            if server is not first:
                yield server

    def _is_below_bound(self, server: ServerT) -> bool:
        if self._bound is None or not (in_flight := server.in_flight):
            return True
        return in_flight < in_flight_per_weight(self._servers, self._bound) * server.weight

    def _walk(self, slot: int, key: str) -> Iterator[ServerT]:
        """The slot's order; first those that are below the bound, and take the key if they start slowly."""
        most = inf if self._bound is None else in_flight_per_weight(self._servers, self._bound)
        passed_over = []
        for server in self._order(slot):
            if not server.usable:
                continue
            begun = server.weight == server.full_weight or takes(server, key)
            if begun and server.in_flight < most * server.weight:
                yield server
            else:
                passed_over.append(server)
        yield from passed_over

    def _compute_order(self, slot: int) -> tuple[ServerT, ...]:
        servers, distances = self._servers, self._distances(slot)
        return tuple(servers[index] for index in sorted(range(len(servers)), key=distances.__getitem__))

    def _distances(self, slot: int) -> list[float]:
        """Exponentially distributed with rate `weight`: the least falls on each in proportion to it."""
        return [-log((numbers[slot] + 1) * _TO_UNIT) * scale for numbers, scale in self._columns]


def _slot(key: str) -> int:
    # The checksum alone is linear in the key's bits; the multiplication lets all of them decide on the slot.
    return (crc32(key.encode(errors="surrogatepass")) * 0x9E3779B1 & 0xFFFFFFFF) >> (32 - _SLOT_BITS)


@lru_cache(_REMEMBERED_SERVERS)
def _numbers(name: str) -> array[int]:
    """A random number of 32 bits for each slot, which follows from the server's name alone."""
    numbers = array("I", shake_128(name.encode()).digest(4 * _SLOTS))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
