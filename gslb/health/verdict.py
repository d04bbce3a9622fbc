"""Turns one observer's outcomes into its standing verdict on a target: rise and fall, purely."""

from __future__ import annotations

import re

from gslb.fleet import HealthCheck
from gslb.health.checks.base import ProbeOutcome
from gslb.world import Observation, Verdict

_LATENCY = re.compile(r" in [\d.]+ m?s\b")


def step(
    previous: Observation | None,
    outcome: ProbeOutcome,
    *,
    target: str,
    observer: str,
    check: HealthCheck,
    now: float,
    epoch: int,
) -> Observation:
    """What `observer` thinks of `target` after one more outcome.

    The first outcome decides at once, so that nothing is unknown for longer than it must be; from then on
    `check.rise` successes or `check.fall` failures in a row flip the verdict.
    """
    told = Verdict.UP if outcome.ok else Verdict.DOWN
    if previous is None or previous.verdict is Verdict.UNKNOWN:
        verdict, consecutive, since = told, 1, now
    elif previous.verdict is told:
        verdict, consecutive, since = told, max(previous.consecutive, 0) + 1, previous.since
    else:
        against = max(-previous.consecutive, 0) + 1
        if against >= _needed(previous.verdict, check):
            verdict, consecutive, since = told, against, now
        else:
            verdict, consecutive, since = previous.verdict, -against, previous.since
    return Observation(
        target=target,
        observer=observer,
        verdict=verdict,
        reason=_reason(outcome, verdict, consecutive, check),
        # To the millisecond, as it travels: every reader must fold the very same moment.
        since=round(since, 3),
        consecutive=consecutive,
        flip_in=(_needed(verdict, check) - max(-consecutive, 0)) * check.interval,
        epoch=epoch,
        sequence=1 if previous is None else previous.sequence + 1,
    )


def is_news(previous: Observation | None, current: Observation) -> bool:
    """Whether others should hear of `current` at once; if not, it can wait for the lease's renewal.

    A latency that varies is no news; a verdict, a doubt about it, or another reason is.
    """
    if previous is None:
        return True
    return (
        previous.verdict is not current.verdict
        or previous.since != current.since
        or previous.flip_in != current.flip_in
        or (previous.consecutive < 0) != (current.consecutive < 0)
        or reason_class(previous.reason) != reason_class(current.reason)
    )


def reason_class(reason: str) -> str:
    """The reason without what varies from probe to probe: `200 in 12 ms` becomes `200`."""
    return _LATENCY.sub("", reason)


def _needed(verdict: Verdict, check: HealthCheck) -> int:
    """Outcomes in a row that it takes to end `verdict`."""
    return check.fall if verdict is Verdict.UP else check.rise


def _reason(outcome: ProbeOutcome, verdict: Verdict, consecutive: int, check: HealthCheck) -> str:
    if consecutive > 0:
        return outcome.reason
    kind = "success" if outcome.ok else "failure"
    return f"{outcome.reason} ({kind} {-consecutive} of {_needed(verdict, check)})"
