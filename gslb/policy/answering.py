"""Works out which addresses an answer carries, once the regions are in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from gslb.fleet import AllDown, Fleet, Service
from gslb.geo.location import IPAddress
from gslb.policy.candidates import IP_VERSIONS, candidates_of
from gslb.world import OverrideKind, RegionState, Verdict


@dataclass(frozen=True, slots=True)
class Answering:
    """A region that answers, and the addresses of one IP version that it answers with."""

    region: str
    addresses: tuple[IPAddress, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """What an answer carries. by_version: for each IP version the regions and addresses, in their order.

    alias: the hostname that is answered in place of addresses.
    settled: whether no region behind those that answer could have a part in it, however its state changes.
    """

    by_version: Mapping[int, tuple[Answering, ...]] = field(default_factory=dict)
    alias: str | None = None
    settled: bool = False


def only_hostnames(fleet: Fleet, service: Service) -> bool:
    """Whether every region of the service is a hostname, so that its name is an alias for every client."""
    return candidates_of(fleet, service).only_hostnames


def versions_of(fleet: Fleet, service: Service) -> frozenset[int]:
    """The IP versions that the service has data of: those of its regions' addresses.

    Of any other there is no data, also where a hostname answers: a negative answer is cached for everybody,
    so it may depend neither on health nor on the region. Hostnames alone count as having both.
    """
    return candidates_of(fleet, service).versions


def contents(
    fleet: Fleet,
    service: Service,
    ranked: Sequence[str],
    eligible: Sequence[str],
    states: Mapping[str, RegionState],
    share: int,
) -> Contents:
    """What a client of `share` is answered with by the regions `ranked`, whose first one is chosen.

    eligible: those of them that are, in the same order; they come first.
    """
    alias = fleet.regions[ranked[0]].hostname
    if alias is not None:
        return Contents(alias=alias, settled=bool(eligible))
    candidates = candidates_of(fleet, service)
    by_version: dict[int, tuple[Answering, ...]] = {}
    settled = True
    for version in IP_VERSIONS:
        if version not in candidates.held:
            continue
        held = candidates.addresses[version]
        groups = _alive(service, held, eligible, states)
        # Only when the answer is full of live regions, those behind them wait in vain.
        if len(groups) < service.answers.regions:
            holding = [Answering(name, held[name]) for name in ranked if name in held]
            settled = settled and len(groups) == len(holding)
            groups = groups or _when_none_is_alive(service, holding, eligible, states)
        if service.answers.rotate:
            groups = _rotated(groups, share)
        most = service.answers.addresses
        if most is not None:
            groups = [Answering(each.region, each.addresses[:most]) for each in groups]
        by_version[version] = tuple(groups)
    return Contents(by_version, settled=settled)


def _alive(
    service: Service,
    held: Mapping[str, tuple[IPAddress, ...]],
    eligible: Sequence[str],
    states: Mapping[str, RegionState],
) -> list[Answering]:
    """The first eligible regions with live addresses among those `held`, as many as an answer is to have."""
    alive: list[Answering] = []
    for name in eligible:
        addresses = held.get(name)
        if addresses and (live := _live(addresses, states[name], service)):
            alive.append(Answering(name, live))
            if len(alive) == service.answers.regions:
                break
    return alive


def is_taken_out(state: RegionState, service: Service) -> bool:
    """Whether an operator wants no new clients of the service in the region."""
    override = state.deciding_override(service.name)
    if override is not None and override.kind is not OverrideKind.HOLD:
        return override.kind is not OverrideKind.FORCED_UP
    return state.weight(service.name) == 0.0


def _live(addresses: tuple[IPAddress, ...], state: RegionState, service: Service) -> tuple[IPAddress, ...]:
    """Those not known to be down; of a region that is forced up, all, and of one that is held, all that were
    not down when that was said."""
    override = state.deciding_override(service.name)
    down_before = inf
    if override is not None:
        if override.kind is OverrideKind.FORCED_UP:
            return addresses
        if override.held_verdict(state.region) is not None:
            down_before = override.since
    down = {
        address
        for address, target in state.targets.items()
        if target.verdict is Verdict.DOWN and target.since < down_before
    }
    if not down:
        return addresses
    return tuple(address for address in addresses if str(address) not in down)


def _when_none_is_alive(
    service: Service,
    holding: Sequence[Answering],
    eligible: Sequence[str],
    states: Mapping[str, RegionState],
) -> list[Answering]:
    """Who answers for an IP version of which no eligible region has a live address: some region must.

    The best eligible one, or the best; or, when the whole service is down and that means all are
    eligible, as many as ever, but for those that an operator took out.
    """
    may = [each for each in holding if each.region in eligible]
    if may:
        return may[:1]
    if not eligible and service.all_down is AllDown.ANSWER_ALL:
        standing = [each for each in holding if not is_taken_out(states[each.region], service)]
        if standing:
            return standing[: service.answers.regions]
    return list(holding[:1])


def _rotated(groups: Sequence[Answering], share: int) -> list[Answering]:
    """`groups` begun at the address that the share falls on, each equally often; regions stay together.

    The regions are turned until the one with that address is the first, then its addresses until that one
    is. Those of the other regions are turned by what the choice of the first has not used of the share.
    """
    turns, place = divmod(share, sum(len(each.addresses) for each in groups))
    first = 0
    while place >= len(groups[first].addresses):
        place -= len(groups[first].addresses)
        first += 1
    rotated = [_turned(groups[first], place)]
    rotated.extend(_turned(each, turns) for each in (*groups[first + 1 :], *groups[:first]))
    return rotated


def _turned(each: Answering, turns: int) -> Answering:
    start = turns % len(each.addresses)
    return Answering(each.region, each.addresses[start:] + each.addresses[:start])
