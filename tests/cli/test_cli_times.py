"""Times as operators type them."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from gslb.cli.times import a_moment, end_of, local, seconds
from gslb.clock import parse_iso
from gslb.errors import GslbError


@pytest.fixture(autouse=True)
def _berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


NOON = parse_iso("2026-11-22T11:00:00Z")  # 12:00 in Berlin


def test_lengths_of_time():
    assert [seconds(text) for text in ("90", "90s", "30m", "1h30m", "2d")] == [90, 90, 1800, 5400, 172800]


@pytest.mark.parametrize(
    ("length", "until", "end"),
    [
        (None, None, None),
        ("30m", None, "2026-11-22T11:30:00Z"),
        (None, "14:00", "2026-11-22T13:00:00Z"),
        (None, "9:30", "2026-11-23T08:30:00Z"),
        (None, "12:00", "2026-11-23T11:00:00Z"),
        (None, "2026-11-22T14:00", "2026-11-22T13:00:00Z"),
        (None, "2026-11-22T14:00Z", "2026-11-22T14:00:00Z"),
        (None, "2026-11-22 15:00+03:00", "2026-11-22T12:00:00Z"),
    ],
)
def test_an_end_is_to_come(length, until, end):
    assert end_of(length, until, NOON) == (None if end is None else parse_iso(end))


@pytest.mark.parametrize(
    ("length", "until", "said"),
    [
        ("30m", "14:00", "both say when it ends"),
        ("soon", None, "not a length of time"),
        ("0s", None, "no time at all"),
        (None, "25:00", "'25:00' is not a time"),
        (None, "tomorrow", "not a time"),
        (None, "", "not a time"),
        (None, "2026-11-22T11:00", "has passed"),
    ],
)
def test_what_is_no_end_is_refused_with_a_remedy(length, until, said):
    with pytest.raises(GslbError, match=said) as raised:
        end_of(length, until, NOON)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("11:58", "2026-11-22T10:58:00Z"),
        ("11:58:30", "2026-11-22T10:58:30Z"),
        ("12:00", "2026-11-22T11:00:00Z"),
        ("14:03", "2026-11-21T13:03:00Z"),
        ("10m", "2026-11-22T10:50:00Z"),
        ("1h30m", "2026-11-22T09:30:00Z"),
        ("2026-11-20", "2026-11-19T23:00:00Z"),
        ("2026-11-20T10:00:00.500Z", "2026-11-20T10:00:00.500Z"),
    ],
)
def test_a_moment_has_been(text, moment):
    assert a_moment(text, NOON) == parse_iso(moment)


def test_a_time_of_day_is_that_of_the_clock_on_days_that_are_longer():
    before = datetime(2026, 10, 24, 15, 0).timestamp()
    assert end_of(None, "14:00", before) == parse_iso("2026-10-25T13:00:00Z")


def test_moments_are_told_by_the_clock_here():
    assert local(NOON) == "2026-11-22 12:00:00 CET"
