"""Turns one observer's outcomes into its standing verdict on a target: rise and fall, purely."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil, floor, log2

from gslb.fleet import HealthCheck
from gslb.health.checks.base import ProbeOutcome
from gslb.health.damping import CALM, Flapping, Hold
from gslb.world import Observation, Verdict

# Of what was measured, and of a hold, but not "after 4 falls in 210 s": that stays the same.
_VARYING = re.compile(r"(?<!\bfalls) in [\d.]+ m?s\b| for \d+ s more\b")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one observer has seen of one target; `flapping` it keeps for itself."""

    observation: Observation
    flapping: Flapping = CALM


def see(
    before: Seen | None,
    outcome: ProbeOutcome,
    *,
    target: str,
    observer: str,
    check: HealthCheck,
    now: float,
    monotonic: float,
    epoch: int,
) -> Seen:
    """What `observer` knows of `target` after one more outcome: `step`, for one that may be held down.

    now: seconds since 1970, for people. monotonic: the same moment by the clock that never steps.
    """
    previous = before.observation if before is not None else None
    flapping = before.flapping if before is not None else CALM
    flapping, hold = _damped(previous, flapping, outcome, check, monotonic)
    observation = step(
        previous, outcome, target=target, observer=observer, check=check, now=now, epoch=epoch, hold=hold
    )
    return Seen(observation, flapping)


def _damped(
    previous: Observation | None, flapping: Flapping, outcome: ProbeOutcome, check: HealthCheck, now: float
) -> tuple[Flapping, Hold | None]:
    """The falls after this outcome, and what keeps the target DOWN, or would if it were well."""
    if previous is None or previous.verdict is Verdict.UNKNOWN:
        return CALM, None
    enough = _against(previous, outcome) >= _needed(previous.verdict, check)
    if previous.verdict is Verdict.UP:
        if not enough:
            return flapping, None
        flapping = flapping.fell(now, check.damping)
    elif not outcome.ok:
        flapping = flapping.failed(now)
    elif enough:
        flapping = flapping.well(now, check.damping)
        if flapping.well_since is None:
            return flapping, None
    return flapping, flapping.hold(now, check.damping)


def step(
    previous: Observation | None,
    outcome: ProbeOutcome,
    *,
    target: str,
    observer: str,
    check: HealthCheck,
    now: float,
    epoch: int,
    hold: Hold | None = None,
) -> Observation:
    """What `observer` thinks of `target` after one more outcome.

    The first outcome decides at once, so that nothing is unknown for longer than it must be; from then on
    `check.rise` successes or `check.fall` failures in a row flip the verdict. hold: what keeps it DOWN even
    so, or would once rise is reached.
    """
    told = Verdict.UP if outcome.ok else Verdict.DOWN
    if previous is None or previous.verdict is Verdict.UNKNOWN:
        verdict, consecutive, since = told, 1, now
    elif previous.verdict is told:
        verdict, consecutive, since = told, max(previous.consecutive, 0) + 1, previous.since
    else:
        against = _against(previous, outcome)
        held = previous.verdict is Verdict.DOWN and hold is not None
        if against >= _needed(previous.verdict, check) and not held:
            verdict, consecutive, since = told, against, now
        else:
            verdict, consecutive, since = previous.verdict, -against, previous.since
    return Observation(
        target=target,
        observer=observer,
        verdict=verdict,
        reason=_reason(outcome, verdict, consecutive, check, hold),
        # To the millisecond, as it travels: every reader must fold the very same moment.
        since=round(since, 3),
        consecutive=consecutive,
        flip_in=_flip_in(verdict, consecutive, check, hold),
        epoch=epoch,
        sequence=1 if previous is None else previous.sequence + 1,
    )


def pause_after(observation: Observation | None, check: HealthCheck) -> float:
    """Seconds from one probe to the next, jitter aside: fewer while nothing is known, or what is known in
    doubt. That a target is held down is no doubt: no probe could end it sooner."""
    if observation is None or observation.verdict is Verdict.UNKNOWN:
        return _confirming(check)
    in_doubt = 0 < -observation.consecutive < _needed(observation.verdict, check)
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
    return _VARYING.sub("", reason)


def _against(previous: Observation, outcome: ProbeOutcome) -> int:
    """Outcomes in a row, with this one, that speak against the verdict."""
    if outcome.ok == (previous.verdict is Verdict.UP):
        return 0
    return max(-previous.consecutive, 0) + 1


def _needed(verdict: Verdict, check: HealthCheck) -> int:
    """Outcomes in a row that it takes to end `verdict`."""
    return check.fall if verdict is Verdict.UP else check.rise


def _confirming(check: HealthCheck) -> float:
    """Seconds between probes while the verdict is in doubt."""
    return check.interval if check.fast_interval is None else check.fast_interval


def _flip_in(verdict: Verdict, consecutive: int, check: HealthCheck, hold: Hold | None) -> float:
    """Seconds until `verdict` could end at the earliest: the first outcome against it comes at the usual
    time, those that confirm it follow faster. Jitter, which evens out, is not counted."""
    lacking = _needed(verdict, check) - max(-consecutive, 0)
    confirming = _confirming(check)
    if consecutive < 0 < lacking:
        seconds = lacking * confirming
    else:
        seconds = check.interval + max(0, lacking - 1) * confirming
    return seconds if hold is None or verdict is Verdict.UP else max(seconds, _in_steps(hold.rest, check))


def _in_steps(rest: float, check: HealthCheck) -> float:
    """No more than `rest`, but the same for many probes, so that it is not news each time: intervals, one,
    two, four and so on."""
    return check.interval * 2.0 ** floor(log2(rest / check.interval)) if rest > check.interval else 0.0


def _reason(
    outcome: ProbeOutcome, verdict: Verdict, consecutive: int, check: HealthCheck, hold: Hold | None
) -> str:
    if consecutive > 0:
        return outcome.reason
    if -consecutive < _needed(verdict, check) or hold is None:
        kind = "success" if outcome.ok else "failure"
        return f"{outcome.reason} ({kind} {-consecutive} of {_needed(verdict, check)})"
    falls = f"{hold.falls} falls in {round(hold.within)} s" if hold.falls > 1 else "1 fall"
    return f"{outcome.reason}; held down for {ceil(hold.rest)} s more after {falls}"
