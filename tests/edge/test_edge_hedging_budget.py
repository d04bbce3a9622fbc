"""When a second try may begin, and how many may be made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.hedging import Hedging
from gslb.fleet import Hedge


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_budget_is_a_share_of_all_requests(share: float) -> None:
    hedging = Hedging(Hedge(delay=0.1, share=share))
    made = 0
    for _ in range(1000):
        hedging.begun()
        made += hedging.may()

    assert made == pytest.approx(1000 * share, abs=1)


@given(st.lists(st.floats(0.001, 1.0), min_size=200, max_size=400), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_delay_follows_the_percentile(times: list[float], percentile: float) -> None:
    hedging = Hedging(Hedge(percentile=percentile))
    assert hedging.delay is None
    for seconds in times[:192]:
        hedging.answered(seconds)
    exact = sorted(times[:192])[int(percentile * 192) - 1]

    assert hedging.delay is not None
    assert exact / 1.16 <= hedging.delay
    assert sum(seconds <= hedging.delay for seconds in times[:192]) >= percentile * 192 - 1
