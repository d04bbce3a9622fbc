"""The response time of a server as methods see it: up at once, down by age, and failures count."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.balance.peak_ewma import UNTRIED, PeakEwma, PeakEwmaOptions

SECONDS = st.floats(0, 60)


def test_nothing_is_known_at_first():
    assert PeakEwma().at(5.0) is None


def test_a_slower_response_counts_at_once_and_a_quicker_one_by_and_by():
    ewma = PeakEwma(PeakEwmaOptions(decay=10))
    ewma.add(0.1, 100.0)
    ewma.add(2.0, 100.0)
    assert ewma.at(100.0) == 2.0
    ewma.add(0.1, 101.0)
    assert ewma.at(101.0) == pytest.approx(0.1 + 1.9 * math.exp(-1 / 10))
    ewma.add(0.1, 160.0)
    assert ewma.at(160.0) == pytest.approx(0.1, abs=0.01)


def test_age_and_not_the_number_of_responses_makes_it_forget():
    few, many = PeakEwma(), PeakEwma()
    for ewma in (few, many):
        ewma.add(1.0, 0.0)
    few.add(0.01, 5.0)
    for step in range(1, 501):
        many.add(0.01, step / 100)
    assert few.at(5.0) == pytest.approx(many.at(5.0))


def test_the_figure_of_a_server_that_gets_nothing_falls_until_it_is_tried():
    ewma = PeakEwma(PeakEwmaOptions(decay=10))
    ewma.add(1.0, 0.0)
    assert ewma.at(10.0) == pytest.approx(1 / math.e)
    assert ewma.at(1e6) == 0.0


def test_quick_failures_count_as_slow():
    ewma = PeakEwma(PeakEwmaOptions(penalty=4, most=10))
    ewma.add(0.01, 0.0)
    ewma.fail(0.0001, 0.0)
    assert ewma.at(0.0) == pytest.approx(0.04)
    for _ in range(1000):
        ewma.fail(0.0001, 0.0)
    assert ewma.at(0.0) == 10.0


def test_rare_failures_of_an_idle_server_do_not_make_it_look_quick():
    ewma = PeakEwma()
    ewma.add(0.01, 0.0)
    for minute in range(1, 8):
        ewma.fail(0.0001, minute * 60.0)
        assert ewma.at(minute * 60.0) >= min(0.01 * 4**minute, 10.0) * 0.999


def test_a_first_failure_is_worse_than_not_to_be_known():
    quick, slow = PeakEwma(), PeakEwma()
    quick.fail(0.0001, 0.0)
    slow.fail(30.0, 0.0)
    assert quick.at(0.0) == UNTRIED
    assert slow.at(0.0) == 30.0


def test_one_failure_among_many_responses_is_soon_forgiven():
    ewma = PeakEwma()
    for step in range(3000):
        (ewma.fail if step == 1000 else ewma.add)(0.01, step / 100)
    assert ewma.at(30.0) < 0.016


def test_a_response_that_took_no_time_by_the_clock_took_some():
    ewma = PeakEwma()
    ewma.add(0.0, 5.0)
    assert ewma.at(5.0) > 0


@given(st.lists(st.tuples(SECONDS, SECONDS, st.booleans()), min_size=1))
def test_it_never_is_beyond_what_was_measured_but_for_failures(steps):
    ewma, now, measured = PeakEwma(), 0.0, []
    for seconds, elapsed, failed in steps:
        now += elapsed
        measured.append(max(seconds, 0.0001))  # clocks may show nothing at all
        before = ewma.at(now)
        (ewma.fail if failed else ewma.add)(seconds, now)
        if failed:
            measured.append(10.0)  # what failures alone lift it to
        assert min(measured) - 1e-9 <= ewma.at(now) <= max(measured) + 1e-9
        assert ewma.at(now) >= (before or 0.0) * (1 - 1e-9)
        assert ewma.at(now + 1) <= ewma.at(now)
