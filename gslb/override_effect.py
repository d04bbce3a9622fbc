"""What an operator's word would make of the world: known before it is said, so that it can be refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from gslb.fleet import Fleet, Service
from gslb.world import Override, OverrideKind, RegionState, Verdict, World


def subject_text(region: str, service: str) -> str:
    """What a word is on, as people say it: `eu-west`, `www.test in eu-west`, `www.test everywhere`."""
    if not service:
        return region
    return f"{service} in {region}" if region else f"{service} everywhere"


def regions_of(fleet: Fleet, region: str, service: str) -> tuple[str, ...]:
    """The regions that a word concerns."""
    return (region,) if region else fleet.services[service].regions


def with_override(fleet: Fleet, world: World, override: Override) -> World:
    """The world as it is once `override` is in force: a word on a service in a region comes before one on the
    service everywhere."""
    changed: dict[str, RegionState] = {}
    for name in regions_of(fleet, override.region, override.service):
        state = world.region(name)
        if not override.service:
            changed[name] = replace(state, override=override)
            continue
        nearer = state.overrides.get(override.service)
        if override.region or nearer is None or not nearer.region:
            changed[name] = replace(state, overrides={**state.overrides, override.service: override})
    return replace(world, regions={**world.regions, **changed})


def without_override(fleet: Fleet, world: World, region: str, service: str) -> World:
    """The world as it is once that word is taken back; one on the service everywhere holds again."""
    changed: dict[str, RegionState] = {}
    for name in regions_of(fleet, region, service):
        state = world.region(name)
        if not service:
            changed[name] = replace(state, override=None)
            continue
        said = state.overrides.get(service)
        if said is None or said.region != region:
            continue
        overrides = {each: word for each, word in state.overrides.items() if each != service}
        if region and (everywhere := override_on(fleet, world, "", service)) is not None:
            overrides[service] = everywhere
        changed[name] = replace(state, overrides=overrides)
    return replace(world, regions={**world.regions, **changed})


def override_on(fleet: Fleet, world: World, region: str, service: str) -> Override | None:
    """The word on exactly this subject, as far as the world shows it."""
    for name in regions_of(fleet, region, service):
        state = world.region(name)
        said = state.overrides.get(service) if service else state.override
        if said is not None and (not service or said.region == region):
            return said
    return None


def eligible_regions(service: Service, world: World) -> tuple[str, ...]:
    """The service's regions that new clients of it may be sent to, in its order."""
    return tuple(
        name for name in service.regions if world.region(name).eligible_for(service.name, service.pools)
    )


def left_without(services: Iterable[Service], before: World, after: World) -> tuple[str, ...]:
    """The services that have an eligible region before, and none after."""
    return tuple(
        service.name
        for service in services
        if eligible_regions(service, before) and not eligible_regions(service, after)
    )


def verdicts_to_hold(fleet: Fleet, world: World, region: str, service: str) -> Mapping[str, Verdict]:
    """What `hold` keeps of each region that it concerns: the verdict as it is.

    A held verdict is all that counts, so what else keeps clients away now must go into it: a region that is
    too thin, or without a server for the service, is held as DOWN.
    """
    pools = fleet.services[service].pools if service else frozenset[str]()
    held: dict[str, Verdict] = {}
    for name in regions_of(fleet, region, service):
        state = world.region(name)
        held[name] = Verdict.DOWN if state.thin or state.lacks(pools) else state.verdict
    return held


def keeps_clients_away(state: RegionState, service: str) -> Override | None:
    """The operator's word that sends new clients elsewhere, None where there is none. service: "" for any."""
    deciding = state.deciding_override(service)
    if deciding is not None and deciding.kind is not OverrideKind.HOLD:
        return None if deciding.kind is OverrideKind.FORCED_UP else deciding
    for said in (state.overrides.get(service), state.override):
        if said is not None and said.weight == 0.0:
            return said
    return None
