"""What is tried again, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.retry import Failure, Next, Try, decide
from gslb.fleet_edge import Retries, RetryBudget

BUDGET = RetryBudget(share=0.2, least=3)
RETRIES = Retries(tries=3, on=frozenset({502, 503}))
FAILED = Try(Failure.ENDED, idempotent=True, replayable=True, tried=1, seconds=0.1, retrying=0, in_flight=10)


def test_what_never_was_sent_goes_elsewhere_whatever_it_is():
    failed = replace(
        FAILED, failure=Failure.NOT_SENT, idempotent=False, replayable=False, tried=9, retrying=99
    )
    assert decide(failed, RETRIES, BUDGET, None).next is Next.ANOTHER


@pytest.mark.parametrize("failure", [each for each in Failure if each is not Failure.NOT_SENT])
def test_what_may_have_taken_effect_is_never_repeated(failure):
    verdict = decide(replace(FAILED, failure=failure, status=503, idempotent=False), RETRIES, BUDGET, None)
    assert verdict.next is Next.NOWHERE
    assert "not idempotent" in verdict.reason


def test_a_stale_connection_says_nothing_about_its_server():
    assert decide(replace(FAILED, failure=Failure.STALE), RETRIES, BUDGET, None).next is Next.SAME


@pytest.mark.parametrize(
    ("changes", "expected", "reason"),
    [
        ({}, Next.ANOTHER, ""),
        ({"replayable": False}, Next.NOWHERE, "more of its body was sent"),
        ({"tried": 3}, Next.NOWHERE, "3 servers were tried"),
        ({"tried": 2, "retrying": 3}, Next.NOWHERE, "too many requests"),
        ({"tried": 2, "retrying": 3, "in_flight": 100}, Next.ANOTHER, ""),
        ({"tried": 2, "retrying": 20, "in_flight": 100}, Next.NOWHERE, "too many requests"),
        ({"failure": Failure.BROKEN, "retrying": 3}, Next.NOWHERE, "too many requests"),
        ({"retrying": 99, "in_flight": 100}, Next.ANOTHER, ""),  # all that were at a server that died
        ({"seconds": 5.0}, Next.NOWHERE, "time is over"),
        ({"failure": Failure.STATUS, "status": 503}, Next.ANOTHER, ""),
        ({"failure": Failure.STATUS, "status": 500}, Next.NOWHERE, "begun to answer"),
        ({"failure": Failure.BROKEN}, Next.ANOTHER, ""),
        ({"failure": Failure.TIMED_OUT}, Next.NOWHERE, "too slow"),
    ],
)
def test_what_was_sent_goes_elsewhere_within_bounds(changes, expected, reason):
    verdict = decide(replace(FAILED, **changes), RETRIES, BUDGET, 5.0)
    assert verdict.next is expected
    assert reason in verdict.reason
    assert bool(verdict.reason) is (expected is Next.NOWHERE)


@given(
    st.builds(
        Try,
        st.sampled_from(Failure),
        st.booleans(),
        st.booleans(),
        st.integers(1, 9),
        st.floats(0, 20),
        st.integers(0, 50),
        st.integers(1, 200),
        st.sampled_from([200, 500, 502, 503, 504]),
    )
)
def test_nothing_is_sent_twice_that_must_not_be(failed):
    verdict = decide(failed, RETRIES, BUDGET, 10.0)
    if verdict.next is not Next.NOWHERE and failed.failure is not Failure.NOT_SENT:
        assert failed.idempotent
        assert failed.replayable
    if failed.seconds >= 10.0:
        assert verdict.next is Next.NOWHERE
