"""Tells people why a decision is as it is; packets show no sentences, and must not pay for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gslb.clock import duration, moment
from gslb.fleet import AllDown, Service
from gslb.policy.base import Explanation, Ranking
from gslb.world import Override, OverrideKind, RegionState, Verdict

_NOBODY: Mapping[AllDown, str] = {
    AllDown.SERVFAIL: "no region is eligible, and the service answers SERVFAIL then",
    AllDown.LAST_KNOWN: "no region is eligible; the one that was up last is answered (last_known)",
    AllDown.ANSWER_ALL: "no region is eligible; all count as eligible then (answer_all)",
}


_WORDS: Mapping[OverrideKind, str] = {
    OverrideKind.DRAIN: "{skipped}drained",
    OverrideKind.FORCED_DOWN: "{skipped}forced down",
    OverrideKind.FORCED_UP: "forced up",
    OverrideKind.HOLD: "held as it was",
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

    rankings: of the service's policies, in their order. states: of every candidate. passed: of eligible
    regions that do not take the client, why.
    """

    service: Service
    rankings: tuple[Ranking, ...]
    states: Mapping[str, RegionState]
    now: float
    passed: Mapping[str, str] = field(default_factory=dict)

    def ranked(self, order: Sequence[str], *, healthy: bool) -> tuple[RankedRegion, ...]:
        """Every region of `order`; where another is eligible (`healthy`), those that are not are skipped."""
        explanations = self._explanations()
        return tuple(
            RankedRegion(
                name,
                self.states[name].eligible_for(self.service.name, self.service.pools),
                (
                    *(f"{name} {each.reasons[name]}" for each in explanations if name in each.reasons),
                    *_sentences(
                        name,
                        self.states[name],
                        self.service,
                        self.now,
                        self.passed.get(name),
                        skipped=healthy,
                    ),
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


def _sentences(
    name: str, state: RegionState, service: Service, now: float, passed: str | None, *, skipped: bool
) -> list[str]:
    """skipped: whether a region that is not eligible is passed over, as there are others. passed: why one
    that is eligible does not take the client."""
    prefix = "skipped: " if skipped else ""
    sentences = []
    override = state.deciding_override(service.name)
    if override is not None:
        sentences.append(f"{name} {_WORDS[override.kind].format(skipped=prefix)} {_said(override, now)}")
    for weighing in {id(each): each for each in (state.overrides.get(service.name), state.override)}.values():
        if weighing is not None and weighing.weight is not None:
            nobody = prefix if weighing.weight == 0.0 else ""
            sentences.append(f"{name} {nobody}weighed {weighing.weight:.0%} {_said(weighing, now)}")
    already = "" if override is not None else prefix
    if state.verdict is Verdict.DOWN:
        sentences.append(f"{name} {already}DOWN for {duration(now - state.since)}, {state.reason}")
    elif state.verdict is Verdict.UNKNOWN and override is None:
        sentences.append(f"{name} is UNKNOWN, which counts as eligible: {state.reason}")
    elif state.thin:
        sentences.append(f"{name} {already}has too few healthy servers for new clients: {state.reason}")
    elif state.lacks(service.pools):
        pools = ", ".join(sorted(service.pools))
        sentences.append(f"{name} {already}has no healthy server for {service.name} ({pools}), its edges say")
    if passed is not None:
        sentences.append(f"{name} is passed over for this part of the clients: it {passed}")
    return sentences


def _said(override: Override, now: float) -> str:
    """By whom, until when and why."""
    until = f" until {moment(override.until, now)}" if override.until is not None else ""
    why = f": {override.reason}" if override.reason else ""
    return f"by {override.by}{until}{why}"
