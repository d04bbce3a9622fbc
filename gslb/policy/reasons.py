"""Tells people why a decision is as it is; packets show no sentences, and must not pay for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gslb.clock import duration, moment
from gslb.fleet import AllDown, Service
from gslb.policy.base import Explanation, Ranking
from gslb.world import OverrideKind, RegionState, Verdict

_NOBODY: Mapping[AllDown, str] = {
    AllDown.SERVFAIL: "no region is eligible, and the service answers SERVFAIL then",
    AllDown.LAST_KNOWN: "no region is eligible; the one that was up last is answered (last_known)",
    AllDown.ANSWER_ALL: "no region is eligible; all count as eligible then (answer_all)",
}


@dataclass(frozen=True, slots=True)
class RankedRegion:
    """A region in the order of a decision, with the sentences that tell why it stands there."""

    region: str
    eligible: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a decision was made from, kept for those who ask why. now: seconds since 1970.

    rankings: of the service's policies, in their order. states: of every candidate.
    """

    service: Service
    rankings: tuple[Ranking, ...]
    states: Mapping[str, RegionState]
    now: float

    def ranked(self, order: Sequence[str], *, healthy: bool) -> tuple[RankedRegion, ...]:
        """Every region of `order`; where another is eligible (`healthy`), those that are not are skipped."""
        explanations = self._explanations()
        return tuple(
            RankedRegion(
                name,
                self.states[name].eligible,
                (
                    *(f"{name} {each.reasons[name]}" for each in explanations if name in each.reasons),
                    *_sentences(name, self.states[name], self.now, skipped=healthy),
                ),
            )
            for name in order
        )

    def notes(self, *, healthy: bool, rotated: int | None, ttl: int) -> tuple[str, ...]:
        """On the whole decision. rotated: the share that the addresses were rotated by. ttl: seconds."""
        notes = [each.note for each in self._explanations() if each.note]
        if not healthy:
            notes.append(_NOBODY[self.service.all_down])
        if rotated is not None:
            notes.append(f"the addresses are rotated: share {rotated} begins at its own place among them")
        wanted = self.service.ttl.wanted
        if ttl < wanted:
            notes.append(f"the TTL is {ttl} s, not {wanted} s: the state behind it could change sooner")
        return tuple(notes)

    def _explanations(self) -> list[Explanation]:
        return [ranking.explain() for ranking in self.rankings]


def _sentences(name: str, state: RegionState, now: float, *, skipped: bool) -> list[str]:
    """skipped: whether a region that is not eligible is passed over, as there are others."""
    prefix = "skipped: " if skipped else ""
    sentences = []
    override = state.override
    if override is not None:
        until = f" until {moment(override.until, now)}" if override.until is not None else ""
        why = f": {override.reason}" if override.reason else ""
        verb = {
            OverrideKind.DRAIN: f"{prefix}drained",
            OverrideKind.FORCED_DOWN: f"{prefix}forced down",
            OverrideKind.FORCED_UP: "forced up",
        }[override.kind]
        sentences.append(f"{name} {verb} by {override.by}{until}{why}")
    if state.verdict is Verdict.DOWN:
        already = "" if override is not None else prefix
        sentences.append(f"{name} {already}DOWN for {duration(now - state.since)}, {state.reason}")
    elif state.verdict is Verdict.UNKNOWN and override is None:
        sentences.append(f"{name} is UNKNOWN, which counts as eligible: {state.reason}")
    return sentences
