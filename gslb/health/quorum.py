"""Folds what all observers say of one target into one verdict, the same for every reader, purely."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import ceil, floor

from gslb.fleet import Quorum
from gslb.health.verdict import reason_class
from gslb.world import Observation, TargetState, Verdict

NOT_OBSERVED = "no fresh observations"
MAJORITY = Quorum()


def conclude(target: str, observations: Iterable[Observation], quorum: Quorum = MAJORITY) -> TargetState:
    """DOWN if as many of those with an opinion say so as `quorum` wants; UNKNOWN abstains.

    `observations` must be fresh and of `target`; their order and repetition do not matter. Of several by
    one observer the newest counts. since: when so many agreed that nothing else could follow.
    """
    voices = _latest_of_each(observations)
    opinions = [voice for voice in voices if voice.verdict is not Verdict.UNKNOWN]
    flip_in = min((voice.flip_in for voice in opinions), default=0.0)
    if not opinions:
        return TargetState(target, Verdict.UNKNOWN, 0.0, NOT_OBSERVED, flip_in, voices)
    down = [voice for voice in opinions if voice.verdict is Verdict.DOWN]
    needed = votes_needed(quorum, len(opinions))
    verdict, deciding = Verdict.DOWN, needed
    if len(down) < needed:
        # UP holds as long as so many say UP that those who are left are too few.
        verdict, deciding = Verdict.UP, len(opinions) - needed + 1
    agreeing = [voice for voice in opinions if voice.verdict is verdict]
    since = sorted(voice.since for voice in agreeing)[deciding - 1]
    reason = f"{len(agreeing)} of {_count(len(opinions), 'observer')}"
    if quorum != MAJORITY:
        reason += _of_quorum(quorum, verdict, needed, len(opinions), len(down))
    return TargetState(target, verdict, since, f"{reason}: {_commonest_reason(agreeing)}", flip_in, voices)


def votes_needed(quorum: Quorum, opinions: int) -> int:
    """How many of so many opinions (at least one) must say DOWN; never none, never more than there are."""
    # Shares are decimals: 55 % of 100 must not come out above 55.
    share = round(quorum.share * opinions, 9)
    votes = floor(share) + 1 if quorum.strict else ceil(share)
    return min(max(1, votes), opinions)


def _of_quorum(quorum: Quorum, verdict: Verdict, needed: int, opinions: int, down: int) -> str:
    """What must be known to understand the count, where it is not the majority that decides."""
    if opinions == 1:
        return ""
    if verdict is Verdict.DOWN:
        if needed == 1:
            return ", any suffices"
        return ", all are needed" if needed == opinions else f", {needed} suffice"
    if not down:
        return ""
    return f", {'all' if needed == opinions else needed} are needed to call it down"


def brought_down_by_silence(before: TargetState, now: TargetState, quorum: Quorum = MAJORITY) -> bool:
    """Whether a target that was UP is DOWN `now` only because observers are not heard any more.

    So it is unless it would be DOWN as well if those who are silent now still said what they said `before`.
    This holds for every quorum; by `any` it never is, for whoever says DOWN now did not say so before.
    """
    if before.verdict is not Verdict.UP or now.verdict is not Verdict.DOWN:
        return False
    heard = {voice.observer for voice in now.observations}
    silent = [voice for voice in before.observations if voice.observer not in heard]
    return conclude(now.target, [*now.observations, *silent], quorum).verdict is not Verdict.DOWN


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
