"""Puts policies and the world together: regions in order, addresses, TTL, and the grounds for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from gslb.fleet import AllDown, Fleet, Service
from gslb.geo.location import IPAddress
from gslb.policy.answering import Answering, Contents, contents, is_taken_out
from gslb.policy.base import NOTHING, SHARE, Client, Consults, Ranking
from gslb.policy.candidates import IP_VERSIONS, candidates_of, standing_of
from gslb.policy.intake import Passed, part_of, reluctance, walk
from gslb.policy.reasons import Grounds, RankedRegion
from gslb.policy.share import share_prefix_length
from gslb.world import RegionState, Verdict, World


@dataclass(frozen=True, slots=True)
class Decision:
    """What one client is told about one service, and why.

    order: every candidate; eligible ones first, in the policies' order, then the others.
    chosen: the first of them; None means SERVFAIL.
    versions: the IP versions that the service has data of, for every client and whatever the health; of
    another there is no data, and this comes before all else.
    only_hostnames: whether the service is answered by an alias alone, for every client and whatever the
    health, so that its name is an alias for every type that is asked for (RFC 1034 3.6.2).
    answering: for each IP version the regions that answer and their addresses, in the order of the answer;
    without rotation the chosen one is first unless it lacks the version.
    alias: the hostname that is answered instead, as a CNAME, when the chosen region is somebody else's.
    healthy: whether any region was eligible. ttl: seconds.
    looked_at: the regions whose states the answer follows from; no change of another's could alter it.
    parted: whether one of these does not take everybody, so that clients are told apart by their parts, and
    by how much they lose elsewhere. consulted: what of the client was looked at.
    scope: prefix length of the client networks that surely get this same decision (RFC 7871 7.2.1).
    shrinks_at: the moment (seconds since 1970) from which `ttl` would have to be smaller, None if never.
    grounds: what all this follows from. Sentences are made of them each time they are read; decisions are
    equal without, for the sentences change with time and the decision need not.
    """

    service: str
    client: Client
    order: tuple[str, ...]
    chosen: str | None
    versions: frozenset[int]
    only_hostnames: bool
    answering: Mapping[int, tuple[Answering, ...]]
    alias: str | None
    healthy: bool
    looked_at: tuple[str, ...]
    parted: bool
    ttl: int
    shrinks_at: float | None
    consulted: Consults
    scope: int
    grounds: Grounds = field(compare=False, repr=False)

    @property
    def ranked(self) -> tuple[RankedRegion, ...]:
        """The regions in order, each with the sentences that tell why it stands there."""
        return self.grounds.ranked(self.order, healthy=self.healthy)

    @property
    def notes(self) -> tuple[str, ...]:
        """The sentences on the whole decision."""
        rotated = self.client.share if self.grounds.service.answers.rotate and self.answering else None
        return self.grounds.notes(healthy=self.healthy, rotated=rotated, ttl=self.ttl)

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
    candidates = candidates_of(fleet, service)
    states, ineligible, choosy = standing_of(candidates, service, world)
    consulted = service_consults(service)
    rankings = rankings_of(fleet, service, client)
    order = preferred = eligible = composed(service.regions, rankings)
    if ineligible:
        eligible = tuple([name for name in preferred if name not in ineligible])
        if eligible:
            order = (*eligible, *[name for name in preferred if name in ineligible])
        else:
            order = _when_none_is_eligible(service, preferred, states)
    passed: tuple[Passed, ...] = ()
    if choosy:
        home = preferred[0]
        eligible, passed = walk(
            service,
            eligible,
            home,
            states,
            part_of(client.share),
            # Who is served without a look at his place is not asked how far he would have to go.
            lambda: reluctance(client, candidates, home) if consulted.location else 0,
            candidates.has_all_versions,
        )
        order = (*eligible, *[name for name in preferred if name in ineligible])
    servfail = not order or (not eligible and service.all_down is AllDown.SERVFAIL)
    chosen = None if servfail else order[0]
    answer = Contents() if servfail else contents(fleet, service, order, eligible, states, client.share)
    looked_at = _looked_at(preferred, chosen, answer, [each.region for each in passed])
    ttl, shrinks_at = _time_to_live(service, looked_at, states, now)
    parted = not choosy.isdisjoint(looked_at)
    if parted:
        consulted |= SHARE
    return Decision(
        service=service.name,
        client=client,
        order=order,
        chosen=chosen,
        versions=candidates.versions,
        only_hostnames=candidates.only_hostnames,
        answering=answer.by_version,
        alias=answer.alias,
        healthy=bool(eligible),
        looked_at=tuple(looked_at),
        parted=parted,
        ttl=ttl,
        shrinks_at=shrinks_at,
        consulted=consulted,
        scope=scope_of(consulted, client.address, client.located.prefix_length),
        grounds=Grounds(service, rankings, states, now, dict(passed)),
    )


def rankings_of(fleet: Fleet, service: Service, client: Client) -> tuple[Ranking, ...]:
    """What each of the service's policies makes of its regions for the client, in the policies' order."""
    candidates = candidates_of(fleet, service)
    return tuple([policy.rank(client, candidates) for policy in service.policies])


def composed(names: Sequence[str], rankings: Sequence[Ranking]) -> tuple[str, ...]:
    """`names` in the order of the first ranking; each other only orders what all before it left equal.

    What is equal to all of them stays in the order in which the service names its regions.
    """
    if rankings and len(rankings[0].tiers) == len(names):
        return tuple(chain.from_iterable(rankings[0].tiers))
    order = list(names)
    # Sorting is stable: sorted by the first ranking last, equals keep the order that the others gave them.
    for ranking in reversed(rankings):
        if len(ranking.tiers) == len(names):
            order = list(chain.from_iterable(ranking.tiers))
        else:
            tiers = {name: tier for tier, equal in enumerate(ranking.tiers) for name in equal}
            order.sort(key=tiers.__getitem__)
    return tuple(order)


def _when_none_is_eligible(
    service: Service, order: tuple[str, ...], states: Mapping[str, RegionState]
) -> tuple[str, ...]:
    """The order in which the regions are taken then; for SERVFAIL none is.

    An operator's word outlives an outage: a region that was taken out is taken only when there is no other.
    One that lacks servers comes before one that is not there at all.
    """
    if service.all_down is AllDown.SERVFAIL:
        return order
    last_known = service.all_down is AllDown.LAST_KNOWN

    def misery(name: str) -> tuple[bool, bool, float]:
        state = states[name]
        gone = state.verdict is Verdict.DOWN
        return is_taken_out(state, service), gone, -state.since if last_known else 0.0

    return tuple(sorted(order, key=misery))


def _looked_at(
    order: Sequence[str], chosen: str | None, answer: Contents, passed: Sequence[str]
) -> Sequence[str]:
    """The regions of which a change could alter the answer.

    Those that answer and those that the policies prefer to one of them; all, unless the answer is settled and
    none answers that was passed over, for want of another.
    """
    if chosen is None or not answer.settled:
        return order
    answering = {each.region for groups in answer.by_version.values() for each in groups} or {chosen}
    if not answering.isdisjoint(passed):
        return order
    return order[: 1 + max(order.index(name) for name in answering)]


def _time_to_live(
    service: Service, looked_at: Collection[str], states: Mapping[str, RegionState], now: float
) -> tuple[int, float | None]:
    """The TTL, and when it would have to be smaller: no longer than until a change could alter the answer."""
    ends = [
        override.until
        for name in looked_at
        for override in (states[name].override, states[name].overrides.get(service.name))
        if override is not None and override.until is not None
    ]
    flips = [
        states[name].flip_in for name in looked_at if states[name].deciding_override(service.name) is None
    ]
    flips.extend(end - now for end in ends)
    bounds = service.ttl
    ttl = min([bounds.wanted, bounds.maximum, *(int(flip) for flip in flips)])
    if ttl <= bounds.minimum:
        return bounds.minimum, None
    return ttl, min(ends) - ttl if ends else None
