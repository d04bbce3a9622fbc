"""Works out which addresses an answer carries, once the regions are in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gslb.fleet import AllDown, Fleet, Region, Service
from gslb.geo.location import IPAddress
from gslb.world import OverrideKind, RegionState, Verdict

IP_VERSIONS = (4, 6)


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


def versions_of(fleet: Fleet, service: Service) -> frozenset[int]:
    """The IP versions that the service has data of: those of its regions' addresses.

    Of any other there is no data, also where a hostname answers: a negative answer is cached for everybody,
    so it may depend neither on health nor on the region. Hostnames alone count as having both.
    """
    regions = [fleet.regions[name] for name in service.regions]
    if all(region.hostname is not None for region in regions):
        return frozenset(IP_VERSIONS)
    return frozenset(version for version in IP_VERSIONS if any(_addresses(each, version) for each in regions))


def contents(
    fleet: Fleet, service: Service, ranked: Sequence[str], states: Mapping[str, RegionState], share: int
) -> Contents:
    """What a client of `share` is answered with by the regions `ranked`, whose first one is chosen."""
    chosen = ranked[0]
    alias = fleet.regions[chosen].hostname
    if alias is not None:
        return Contents(alias=alias, settled=states[chosen].eligible)
    wanted = service.answers.regions
    by_version: dict[int, tuple[Answering, ...]] = {}
    settled = True
    for version in IP_VERSIONS:
        holding = [
            Answering(name, addresses)
            for name in ranked
            if (addresses := _addresses(fleet.regions[name], version))
        ]
        if not holding:
            continue
        alive = _alive(holding, states)[:wanted]
        # Only when the answer is full of live regions, those behind them wait in vain.
        settled = settled and len(alive) == min(wanted, len(holding))
        groups = alive or _when_none_is_alive(service, holding, states)
        if service.answers.rotate:
            groups = _rotated(groups, share)
        most = service.answers.addresses
        by_version[version] = tuple(Answering(each.region, each.addresses[:most]) for each in groups)
    return Contents(by_version, settled=settled)


def _addresses(region: Region, version: int) -> tuple[IPAddress, ...]:
    return tuple(address for edge in region.edges for address in edge.addresses if address.version == version)


def _alive(holding: Sequence[Answering], states: Mapping[str, RegionState]) -> list[Answering]:
    """The eligible regions with their live addresses, as far as they have any."""
    return [
        Answering(each.region, live)
        for each in holding
        if states[each.region].eligible
        and (
            live := tuple(address for address in each.addresses if not _is_down(states[each.region], address))
        )
    ]


def _when_none_is_alive(
    service: Service, holding: Sequence[Answering], states: Mapping[str, RegionState]
) -> list[Answering]:
    """Who answers for an IP version of which no eligible region has a live address: some region must.

    The best eligible one, or the best; or, when the whole service is down and that means all are
    eligible, as many as ever, but for those that an operator took out.
    """
    eligible = [each for each in holding if states[each.region].eligible]
    if eligible:
        return eligible[:1]
    nobody = not any(states[name].eligible for name in service.regions)
    if nobody and service.all_down is AllDown.ANSWER_ALL:
        standing = [each for each in holding if states[each.region].override is None]
        if standing:
            return standing[: service.answers.regions]
    return list(holding[:1])


def _is_down(state: RegionState, address: IPAddress) -> bool:
    """Whether an address is known not to serve; a region that is forced up has none of those."""
    if state.override is not None and state.override.kind is OverrideKind.FORCED_UP:
        return False
    target = state.targets.get(str(address))
    return target is not None and target.verdict is Verdict.DOWN


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
