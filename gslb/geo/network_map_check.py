"""What whoever reads a network map relies on, compiled code above all, held of one that comes from a file.

A column is looked at as a few thousand elements at a time that lie side by side in one large integer: that
takes nanoseconds an element, where a loop would take some fifty.
"""

from __future__ import annotations

import sys
from array import array
from functools import lru_cache

from gslb.geo.network_map import HEAD_BITS, MAPPED_BITS, Spans

_CHUNK = 4096  # elements of a step that no other thread can interrupt


def is_sound(spans: Spans, version: int, vantages: int) -> bool:
    """Whether every look-up stays inside the columns, and finds a vantage below `vantages` and a length."""
    bits = MAPPED_BITS[version]
    return (
        len(spans.starts) == len(spans.vantages) == len(spans.prefix_lengths)
        and _ascends_from_0(spans.starts)
        and all_below(spans.vantages, vantages)
        and _none_above(spans.prefix_lengths, bits)
        and _lead(spans.heads, spans.starts, bits)
    )


def all_below(column: array[int], bound: int) -> bool:
    """Whether all elements are less than `bound`, of which the uppermost bit of an element is no part."""
    uppermost = 1 << (8 * column.itemsize - 1)
    if not 0 < bound <= uppermost:
        return not column
    for at in range(0, len(column), _CHUNK):
        values = column[at : at + _CHUNK]
        together = int.from_bytes(values.tobytes(), sys.byteorder)
        # What reaches the bound is carried into its uppermost bit; what had that bit is too large anyway.
        carried = together + _each(uppermost - bound, column.itemsize, len(values))
        if (together | carried) & _each(uppermost, column.itemsize, len(values)):
            return False
    return True


def _ascends_from_0(column: array[int]) -> bool:
    """Whether the first element is 0, and each one is greater than the one before it."""
    if not column or column[0]:
        return False
    for at in range(0, len(column) - 1, _CHUNK):
        values = column[at : at + _CHUNK + 1]
        ones = _each(1, values.itemsize, len(values) - 1)
        before = int.from_bytes(values[:-1].tobytes(), sys.byteorder)
        after = int.from_bytes(values[1:].tobytes(), sys.byteorder)
        between = after - before - ones
        # Where an element is not greater, its neighbour lends it one, and then has another lowest bit than
        # the three operands make without; the last one finds nobody who lends.
        if between < 0 or (after ^ before ^ between) & ones != ones:
            return False
    return True


def _none_above(lengths: bytearray, most: int) -> bool:
    allowed = bytes(range(most + 1))
    chunks = range(0, len(lengths), _CHUNK)
    return not any(lengths[at : at + _CHUNK].translate(None, allowed) for at in chunks)


def _lead(heads: array[int], starts: array[int], bits: int) -> bool:
    """Whether each head is the number of spans that begin at or before the addresses of its leading bits."""
    size = len(starts)
    if len(heads) != (1 << HEAD_BITS) + 1 or min(heads) < 1 or heads[-1] != size or max(heads) > size:
        return False
    firsts = range(0, 1 << bits, 1 << (bits - HEAD_BITS))
    return all(
        starts[head - 1] <= first and (head == size or first < starts[head])
        for head, first in zip(heads, firsts, strict=False)
    )


@lru_cache(maxsize=8)
def _each(value: int, itemsize: int, count: int) -> int:
    """The value `count` times side by side."""
    return int.from_bytes(value.to_bytes(itemsize, sys.byteorder) * count, sys.byteorder)
