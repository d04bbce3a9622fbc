"""The operator's own networks: which is the longest around an address, and how far that holds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from gslb.geo.location import IPNetwork


class Prefixes:
    """Longest-match over a set of networks of one address family; immutable.

    The address space is cut where any network begins or ends. Within one such span the outcome is the
    same, so a look-up is one binary search. Invariant: spans cover the space without gap or overlap.
    `boundaries` are further networks that never match but still part their insides from their outsides.
    """

    def __init__(
        self, version: int, networks: Iterable[IPNetwork], boundaries: Iterable[IPNetwork] = ()
    ) -> None:
        self._bits = 32 if version == 4 else 128
        named = sorted({n for n in networks if n.version == version}, key=_outermost_first)
        unnamed = [n for n in boundaries if n.version == version]
        self._starts, self._matches = _spans(named, unnamed, 1 << self._bits)
        self._ends = [*self._starts[1:], 1 << self._bits]

    def find(self, number: int) -> tuple[IPNetwork | None, int]:
        """The longest network that holds the address `number`, and the length of the shortest prefix around
        the address inside which every address has that same outcome."""
        index = bisect_right(self._starts, number) - 1
        # A prefix is uniform as soon as it leaves out the last address before the span and the first
        # one after it; it leaves out an address when it is longer than what the two have in common.
        differing = self._bits + 1
        if index:
            differing = (number ^ (self._starts[index] - 1)).bit_length()
        if index < len(self._ends) - 1:
            differing = min(differing, (number ^ self._ends[index]).bit_length())
        return self._matches[index], self._bits + 1 - differing


def _outermost_first(network: IPNetwork) -> tuple[int, int]:
    return int(network.network_address), network.prefixlen


def _spans(
    named: Iterable[IPNetwork], unnamed: Iterable[IPNetwork], size: int
) -> tuple[list[int], list[IPNetwork | None]]:
    """The first address of every span in order, and the longest of `named` there (outermost come first)."""
    cuts: dict[int, IPNetwork | None] = {0: None}
    around: list[IPNetwork] = []

    def leave_until(start: int) -> None:
        while around and (end := int(around[-1].broadcast_address) + 1) <= start:
            around.pop()
            cuts[end] = around[-1] if around else None

    for network in named:
        leave_until(int(network.network_address))
        around.append(network)
        cuts[int(network.network_address)] = network
    leave_until(size)
    starts = sorted(cuts)
    for network in unnamed:
        for cut in (int(network.network_address), int(network.broadcast_address) + 1):
            cuts.setdefault(cut, cuts[starts[bisect_right(starts, cut) - 1]])
    cuts.pop(size, None)
    starts = sorted(cuts)
    return starts, [cuts[start] for start in starts]
