"""Folds what all observers say of one target into one verdict, the same for every reader, purely."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gslb.health.verdict import reason_class
from gslb.world import Observation, TargetState, Verdict

NOT_OBSERVED = "no fresh observations"


def conclude(target: str, observations: Iterable[Observation]) -> TargetState:
    """The majority of those with an opinion decides; UNKNOWN abstains, and on a tie UP wins.

    `observations` must be fresh and of `target`; their order and repetition do not matter. Of several by
    one observer the newest counts. since: when the majority was reached.
    """
    voices = _latest_of_each(observations)
    opinions = [voice for voice in voices if voice.verdict is not Verdict.UNKNOWN]
    flip_in = min((voice.flip_in for voice in opinions), default=0.0)
    if not opinions:
        return TargetState(target, Verdict.UNKNOWN, 0.0, NOT_OBSERVED, flip_in, voices)
    up = [voice for voice in opinions if voice.verdict is Verdict.UP]
    down = [voice for voice in opinions if voice.verdict is Verdict.DOWN]
    # UP holds with half of the opinions, DOWN needs more than half: no target goes down on a tie.
    if 2 * len(up) >= len(opinions):
        verdict, agreeing, quorum = Verdict.UP, up, (len(opinions) + 1) // 2
    else:
        verdict, agreeing, quorum = Verdict.DOWN, down, len(opinions) // 2 + 1
    since = sorted(voice.since for voice in agreeing)[quorum - 1]
    reason = f"{len(agreeing)} of {_count(len(opinions), 'observer')}: {_commonest_reason(agreeing)}"
    return TargetState(target, verdict, since, reason, flip_in, voices)


def brought_down_by_silence(before: TargetState, now: TargetState) -> bool:
    """Whether a target that was UP is DOWN `now` only because observers are not heard any more.

    So it is unless those who say DOWN are a majority even of all who had an opinion `before`.
    """
    if before.verdict is not Verdict.UP or now.verdict is not Verdict.DOWN:
        return False
    opinions = sum(voice.verdict is not Verdict.UNKNOWN for voice in before.observations)
    return 2 * sum(voice.verdict is Verdict.DOWN for voice in now.observations) <= opinions


def kept(before: TargetState, now: TargetState, why: str) -> TargetState:
    """The verdict of `before` for what is heard `now`."""
    flip_in = min(before.flip_in, now.flip_in)
    return replace(
        before, reason=f"{before.reason}; held, {why}", flip_in=flip_in, observations=now.observations
    )


def _latest_of_each(observations: Iterable[Observation]) -> tuple[Observation, ...]:
    """One observation an observer, by name; equally new ones are told apart by content, not by arrival."""
    latest: dict[str, Observation] = {}
    for observation in observations:
        other = latest.get(observation.observer)
        if other is None or _rank(observation) > _rank(other):
            latest[observation.observer] = observation
    return tuple(latest[observer] for observer in sorted(latest))


def _rank(observation: Observation) -> tuple[int, int, float, str, str, int, float]:
    return (
        observation.epoch,
        observation.sequence,
        observation.since,
        observation.verdict.value,
        observation.reason,
        observation.consecutive,
        observation.flip_in,
    )


def _commonest_reason(agreeing: Sequence[Observation]) -> str:
    counted = Counter(reason_class(voice.reason) for voice in agreeing)
    return min(counted, key=lambda reason: (-counted[reason], reason))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
