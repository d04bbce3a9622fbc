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
        flip_in=_flip_in(verdict, consecutive, check),
        epoch=epoch,
        sequence=1 if previous is None else previous.sequence + 1,
    )


def pause_after(observation: Observation | None, check: HealthCheck) -> float:
    """Seconds from one probe to the next, jitter aside: fewer while nothing is known, or what is known in
    doubt."""
    in_doubt = observation is None or observation.verdict is Verdict.UNKNOWN or observation.consecutive < 0
    return _confirming(check) if in_doubt else check.interval


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


def _confirming(check: HealthCheck) -> float:
    """Seconds between probes while the verdict is in doubt."""
    return check.interval if check.fast_interval is None else check.fast_interval


def _flip_in(verdict: Verdict, consecutive: int, check: HealthCheck) -> float:
    """Seconds until `verdict` could end at the earliest: the first outcome against it comes at the usual
    time, those that confirm it follow faster. Jitter, which evens out, is not counted."""
    lacking = _needed(verdict, check) - max(-consecutive, 0)
    confirming = _confirming(check)
    return lacking * confirming if consecutive < 0 else check.interval + (lacking - 1) * confirming


def _reason(outcome: ProbeOutcome, verdict: Verdict, consecutive: int, check: HealthCheck) -> str:
    if consecutive > 0:
        return outcome.reason
    kind = "success" if outcome.ok else "failure"
    return f"{outcome.reason} ({kind} {-consecutive} of {_needed(verdict, check)})"
