"""Puts policies and the world together: regions in order, addresses, TTL, and why, in sentences."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gslb.clock import duration, moment
from gslb.fleet import AllDown, Fleet, Region, Service
from gslb.geo.location import IPAddress
from gslb.policy.answering import IP_VERSIONS, Answering, Contents, contents, versions_of
from gslb.policy.base import NOTHING, SHARE, Client, Consults, Ranking
from gslb.policy.share import share_prefix_length
from gslb.world import OverrideKind, RegionState, Verdict, World


@dataclass(frozen=True, slots=True)
class RankedRegion:
    """A region in the order of a decision, with the sentences that tell why it stands there."""

    region: str
    eligible: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What one client is told about one service, and why.

    ranked: every candidate; eligible ones first, in the policies' order, then the others.
    chosen: the first of them; None means SERVFAIL.
    versions: the IP versions that the service has data of, for every client and whatever the health; of
    another there is no data, and this comes before all else.
    answering: for each IP version the regions that answer and their addresses, in the order of the answer;
    without rotation the chosen one is first unless it lacks the version.
    alias: the hostname that is answered instead, as a CNAME, when the chosen region is somebody else's.
    healthy: whether any region was eligible. ttl: seconds.
    consulted: what of the client was looked at.
    scope: prefix length of the client networks that surely get this same decision (RFC 7871 7.2.1).
    shrinks_at: the moment (seconds since 1970) from which `ttl` would have to be smaller, None if never.
    """

    service: str
    client: Client
    ranked: tuple[RankedRegion, ...]
    chosen: str | None
    answering: Mapping[int, tuple[Answering, ...]]
    ttl: int
    consulted: Consults
    scope: int
    notes: tuple[str, ...] = ()
    shrinks_at: float | None = None
    alias: str | None = None
    healthy: bool = True
    versions: frozenset[int] = frozenset(IP_VERSIONS)

    @property
    def outcome(self) -> tuple[str, ...]:
        """What is answered, in sentences: one for each record type, or for the alias."""
        told = []
        for version, rtype in zip(IP_VERSIONS, ("A", "AAAA"), strict=True):
            if version not in self.versions:
                told.append(f"{rtype} has no data: no region of the service has an IPv{version} address")
            elif answering := self.answering.get(version):
                regions = [f"{each.region} ({', '.join(map(str, each.addresses))})" for each in answering]
                told.append(f"{rtype} is answered with {', then '.join(regions)}")
        if self.chosen is None:
            told.append("SERVFAIL is answered")
        elif self.alias is not None:
            told.insert(0, f"{self.chosen} is answered as an alias (CNAME) of {self.alias}")
        return tuple(told)

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Of both families."""
        return tuple(
            address
            for answering in self.answering.values()
            for each in answering
            for address in each.addresses
        )

    @property
    def reasons(self) -> tuple[str, ...]:
        """All sentences, the whole decision's first."""
        return (*self.notes, *(reason for ranked in self.ranked for reason in ranked.reasons))


def service_consults(service: Service) -> Consults:
    """What a service's policies look at, all together, and the rotation of its answers."""
    consulted = SHARE if service.answers.rotate else NOTHING
    for policy in service.policies:
        consulted |= policy.consults
    return consulted


def scope_of(consulted: Consults, address: IPAddress, located_prefix_length: int) -> int:
    """The client-subnet scope that is honest for what was consulted; 0 when nothing was."""
    scope = 0
    if consulted.location:
        scope = located_prefix_length
    if consulted.share:
        scope = max(scope, share_prefix_length(address))
    return scope


def decide(fleet: Fleet, service: Service, client: Client, world: World, now: float) -> Decision:
    """Decide for one client; pure. `now` (seconds since 1970) serves TTLs and sentences only."""
    candidates = [fleet.regions[name] for name in service.regions]
    order, reasons, notes = _compose(service, client, candidates)
    states = {name: world.region(name) for name in order}
    eligible = [name for name in order if states[name].eligible]
    others = [name for name in order if not states[name].eligible]
    chosen: str | None = eligible[0] if eligible else None
    if not eligible:
        others, chosen, note = _all_down(service.all_down, others, states)
        notes.append(note)
    ranked = [*eligible, *others]
    answer = contents(fleet, service, ranked, states, client.share) if chosen is not None else Contents()
    ttl, shrinks_at = _time_to_live(service, _looked_at(order, chosen, answer), states, now)
    if service.answers.rotate and answer.by_version:
        notes.append(f"the addresses are rotated: share {client.share} begins at its own place among them")
    if ttl < service.ttl.wanted:
        notes.append(
            f"the TTL is {ttl} s, not {service.ttl.wanted} s: the state behind it could change sooner"
        )
    consulted = service_consults(service)
    return Decision(
        service=service.name,
        client=client,
        ranked=tuple(
            RankedRegion(
                name,
                states[name].eligible,
                _sentences(name, reasons[name], states[name], now, skipped=bool(eligible)),
            )
            for name in ranked
        ),
        chosen=chosen,
        answering=answer.by_version,
        ttl=ttl,
        consulted=consulted,
        scope=scope_of(consulted, client.address, client.located.prefix_length),
        notes=tuple(notes),
        shrinks_at=shrinks_at,
        alias=answer.alias,
        healthy=bool(eligible),
        versions=versions_of(fleet, service),
    )


def _compose(
    service: Service, client: Client, candidates: Sequence[Region]
) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """Ask each policy in turn; one may only order what all before it left equal.

    What is equal to every policy stays in the order in which the service names its regions.
    """
    keys: dict[str, tuple[int, ...]] = {region.name: () for region in candidates}
    reasons: dict[str, list[str]] = {region.name: [] for region in candidates}
    notes: list[str] = []
    for policy in service.policies:
        ranking = policy.rank(client, candidates)
        for name, tier in _tier_of_each(ranking).items():
            keys[name] += (tier,)
        for name, reason in ranking.reasons.items():
            reasons[name].append(reason)
        if ranking.note:
            notes.append(ranking.note)
    return sorted(keys, key=keys.__getitem__), reasons, notes


def _tier_of_each(ranking: Ranking) -> dict[str, int]:
    return {name: tier for tier, names in enumerate(ranking.tiers) for name in names}


def _all_down(
    choice: AllDown, order: list[str], states: Mapping[str, RegionState]
) -> tuple[list[str], str | None, str]:
    """Nothing is eligible: the new order, the choice and the sentence that says so.

    An operator's drain or force-down outlives an outage: such a region is taken only when there is no other.
    """
    if choice is AllDown.SERVFAIL:
        return order, None, "no region is eligible, and the service answers SERVFAIL then"
    if choice is AllDown.LAST_KNOWN:
        order = sorted(order, key=lambda name: (states[name].override is not None, -states[name].since))
        note = "no region is eligible; the one that was up last is answered (last_known)"
    else:
        order = sorted(order, key=lambda name: states[name].override is not None)
        note = "no region is eligible; all count as eligible then (answer_all)"
    return order, (order[0] if order else None), note


def _looked_at(order: Sequence[str], chosen: str | None, answer: Contents) -> Sequence[str]:
    """The regions of which a change could alter the answer.

    Those that answer and those that the policies prefer to one of them; all, unless the answer is settled.
    """
    if chosen is None or not answer.settled:
        return order
    answering = {each.region for groups in answer.by_version.values() for each in groups} or {chosen}
    return order[: 1 + max(order.index(name) for name in answering)]


def _time_to_live(
    service: Service, looked_at: Collection[str], states: Mapping[str, RegionState], now: float
) -> tuple[int, float | None]:
    """The TTL, and when it would have to be smaller: no longer than until a change could alter the answer."""
    overrides = [override for name in looked_at if (override := states[name].override) is not None]
    ends = [override.until for override in overrides if override.until is not None]
    flips = [states[name].flip_in for name in looked_at if states[name].override is None]
    flips.extend(end - now for end in ends)
    bounds = service.ttl
    ttl = min([bounds.wanted, bounds.maximum, *(int(flip) for flip in flips)])
    if ttl <= bounds.minimum:
        return bounds.minimum, None
    return ttl, min(ends) - ttl if ends else None


def _sentences(
    name: str, reasons: Sequence[str], state: RegionState, now: float, *, skipped: bool
) -> tuple[str, ...]:
    """skipped: whether a region that is not eligible is passed over, as there are others."""
    prefix = "skipped: " if skipped else ""
    sentences = [f"{name} {reason}" for reason in reasons]
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
    return tuple(sentences)
