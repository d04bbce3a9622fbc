"""Sizes and long times: every way to write them, and that what is neither is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gslb.config.amounts import LARGEST_SIZE, LONGEST, parse_bound, parse_long_time, parse_size
from gslb.config.wrong_value import WrongError

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text(alphabet="0123456789. kKMGiBbsmhd-", max_size=20),
    st.lists(st.integers()),
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (0, 0),
        (65536, 65536),
        ("65536", 65536),
        (10.0, 10),
        ("64 KiB", 65536),
        ("64KiB", 65536),
        ("1.5 MiB", 3 << 19),
        ("2gib", 2 << 30),
        ("10 MB", 10_000_000),
        ("1 kB", 1000),
        ("7 B", 7),
    ],
)
def test_a_size_is_a_number_with_or_without_a_unit(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "64k", "1 m", "-1", "1e6", "one", "0.3 KiB", 1.5, True, None, [1]])
def test_what_could_be_understood_in_two_ways_is_no_size(text: object) -> None:
    with pytest.raises(WrongError):
        parse_size(text)


def test_more_than_anyone_can_mean_is_refused() -> None:
    assert parse_size(LARGEST_SIZE) == LARGEST_SIZE
    with pytest.raises(WrongError, match="too large"):
        parse_size(LARGEST_SIZE + 1)


def test_a_bound_of_nothing_is_refused_for_it_means_no_bound_elsewhere() -> None:
    assert parse_bound("1 B") == 1
    with pytest.raises(WrongError) as caught:
        parse_bound(0)
    assert caught.value.hint == "for no bound leave it out"


@pytest.mark.parametrize(
    ("text", "seconds"), [(0, 0), (30, 30), ("30s", 30), ("5 m", 300), ("12h", 43200), ("365d", 31536000)]
)
def test_long_times_may_be_in_days(text: object, seconds: int) -> None:
    assert parse_long_time(text) == seconds


@pytest.mark.parametrize("text", ["1y", "500ms", "1.5h", 0.5, -1, True, None, LONGEST + 1, "4000d"])
def test_other_long_times_are_refused(text: object) -> None:
    with pytest.raises(WrongError):
        parse_long_time(text)


@given(ANYTHING)
def test_an_amount_is_within_its_bounds_or_refused(value: object) -> None:
    with contextlib.suppress(WrongError):
        assert 0 <= parse_size(value) <= LARGEST_SIZE
    with contextlib.suppress(WrongError):
        assert 0 <= parse_long_time(value) <= LONGEST


@given(st.integers(0, LARGEST_SIZE >> 20))
def test_units_are_what_they_say(number: int) -> None:
    assert parse_size(f"{number} MiB") == number << 20
    assert parse_size(f"{number} KiB") == parse_size(number << 10)
