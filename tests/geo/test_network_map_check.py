from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gslb.geo import network_map_check
from gslb.geo.network_map import Spans
from gslb.geo.network_map_check import all_below, is_sound

NEAR_THE_ENDS = st.one_of(
    st.integers(0, 9), st.integers(2**31 - 3, 2**31 + 3), st.integers(2**32 - 9, 2**32 - 1)
)


@given(st.lists(NEAR_THE_ENDS), st.one_of(st.integers(0, 9), st.integers(2**31 - 3, 2**31)))
def test_a_bound_is_kept_when_each_element_keeps_it(values: list[int], bound: int) -> None:
    assert all_below(array("I", values), bound) == all(value < bound for value in values)


def test_no_element_of_a_long_column_is_overlooked() -> None:
    size = 2 * network_map_check._CHUNK + 5
    for at in (0, network_map_check._CHUNK - 1, network_map_check._CHUNK, size - 1):
        column = array("I", [6]) * size
        assert all_below(column, 7)
        column[at] = 7
        assert not all_below(column, 7)


@given(st.lists(st.one_of(NEAR_THE_ENDS, st.integers(2**64 - 9, 2**64 - 1)), min_size=1), st.booleans())
def test_only_starts_that_ascend_from_0_are_sound(values: list[int], in_order: bool) -> None:
    values = [0, *(sorted(set(values) - {0}) if in_order else values)]
    spans = _spans_of(array("Q", values))
    assert is_sound(spans, 6, 1) == all(before < after for before, after in pairwise(values))


def test_no_neighbours_in_a_long_column_are_overlooked() -> None:
    size = 2 * network_map_check._CHUNK + 5
    assert is_sound(_spans_of(array("Q", range(size))), 6, 1)
    for at in (
        1,
        network_map_check._CHUNK - 1,
        network_map_check._CHUNK,
        network_map_check._CHUNK + 1,
        size - 1,
    ):
        starts = array("Q", range(size))
        starts[at] = starts[at - 1]
        assert not is_sound(_spans_of(starts), 6, 1), at


def _spans_of(starts: array[int]) -> Spans:
    """With heads that are right for these starts, should they be in order, and all else faultless."""
    ordered = sorted(starts)
    heads = array("I", [bisect_right(ordered, top << 48) for top in range((1 << 16) + 1)])
    return Spans(starts, array("I", [0]) * len(starts), bytearray(len(starts)), heads)
