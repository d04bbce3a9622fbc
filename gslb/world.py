"""The snapshot: what everyone knows of the fleet at one moment, frozen, and swapped whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """What is concluded about a target or a region. UNKNOWN is not DOWN."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


class OverrideKind(StrEnum):
    """An operator's word; it beats every observation."""

    FORCED_UP = "forced_up"
    FORCED_DOWN = "forced_down"
    DRAIN = "drain"
    WEIGHT = "weight"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Override:
    """Who overrode a state, why, since and until when (seconds since 1970; None: until cleared).

    region, service: what it is a word on: a region, a service in a region, or with an empty region a service
    wherever it is. weight: of WEIGHT, the part of its clients, 0 to 1, that the region takes. held: of HOLD,
    for each region it concerns the verdict that is kept.
    """

    region: str
    kind: OverrideKind
    by: str
    reason: str
    since: float
    until: float | None = None
    service: str = ""
    weight: float | None = None
    held: tuple[tuple[str, Verdict], ...] = ()

    def held_verdict(self, region: str) -> Verdict | None:
        """What HOLD keeps of a region; None: what is observed."""
        return dict(self.held).get(region) if self.kind is OverrideKind.HOLD else None


@dataclass(frozen=True, slots=True)
class Intake:
    """How many of the clients that come to a region it takes; the same for every reader, moved on in steps.

    shed: how far it gives clients away who like it best, 0 (none) to 1 (all), first those who lose least.
    takes: the part of those who like another region better that it takes, 0 to 1. ramp: the part of all
    that it takes, 0 to 1, while it comes back. reason: why, a sentence that can follow the region's name.
    since: of the last step, seconds since 1970. sequence: the greater is the newer.
    """

    shed: float = 0.0
    takes: float = 1.0
    ramp: float = 1.0
    reason: str = ""
    since: float = 0.0
    sequence: int = 0

    @property
    def whole(self) -> bool:
        """Whether it takes whoever comes."""
        return self.shed == 0.0 and self.takes == 1.0 and self.ramp == 1.0


EVERYBODY = Intake()


@dataclass(frozen=True, slots=True)
class Observation:
    """What one observer currently sees of one target, after its own rise and fall.

    since: when this verdict began (seconds since 1970). consecutive: outcomes in a row that agree with it
    (or, negative, that speak against it). flip_in: seconds until it could change at the earliest.
    epoch, sequence: order this observer's writes; a greater (epoch, sequence) is newer.
    """

    target: str
    observer: str
    verdict: Verdict
    reason: str
    since: float
    consecutive: int = 0
    flip_in: float = 0.0
    epoch: int = 0
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class TargetState:
    """The verdict on one target, folded from all fresh observations of it."""

    target: str
    verdict: Verdict
    since: float
    reason: str
    flip_in: float
    observations: tuple[Observation, ...] = ()


_DECISIVE = {OverrideKind.FORCED_UP, OverrideKind.FORCED_DOWN, OverrideKind.DRAIN}
_HOLDING = {OverrideKind.HOLD}
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RegionState:
    """The verdict on a region, from its edges' addresses or its hostname; beside it operators' words.

    targets: by public address (text) or by the hostname, in the fleet's order. override: on the region.
    overrides: on single services here, by name. without: pools of which no edge here has a healthy server, as
    they report themselves. live: the part of its capacity that is healthy, 0 to 1. thin: whether that is too
    little for new clients. intake: how many clients it takes.
    """

    region: str
    verdict: Verdict = Verdict.UNKNOWN
    since: float = 0.0
    reason: str = "not observed yet"
    flip_in: float = 0.0
    override: Override | None = None
    targets: Mapping[str, TargetState] = field(default_factory=dict)
    overrides: Mapping[str, Override] = field(default_factory=dict)
    without: frozenset[str] = _NOTHING
    live: float = 1.0
    thin: bool = False
    intake: Intake = EVERYBODY

    @property
    def eligible(self) -> bool:
        """Whether new clients may be sent here, whatever they want."""
        return self.eligible_for("")

    def eligible_for(self, service: str, pools: frozenset[str] = _NOTHING) -> bool:
        """Whether new clients of a service may be sent here: an operator's word, else anything but DOWN.

        pools: those that the service's requests go to; if the region has none of them, it does not serve it.
        """
        override = self.deciding_override(service)
        if override is not None and override.kind is not OverrideKind.HOLD:
            return override.kind is OverrideKind.FORCED_UP
        if self.weight(service) == 0.0:
            return False
        held = override.held_verdict(self.region) if override is not None else None
        if override is not None and held is not None:
            # What is recorded of a whole region says nothing of the pools of single services.
            return held is not Verdict.DOWN and not (self.lacks(pools) and not override.service)
        if self.verdict is Verdict.DOWN or self.thin:
            return False
        return not self.lacks(pools)

    def lacks(self, pools: frozenset[str]) -> bool:
        """Whether no edge here has a healthy server in any of `pools`, as far as edges say."""
        return bool(pools) and pools <= self.without

    def deciding_override(self, service: str) -> Override | None:
        """The word that holds, weights apart: what was said of the service comes before what was said of the
        region, and a hold, which only keeps what is observed, after all others."""
        said = (self.overrides.get(service), self.override)
        for kinds in (_DECISIVE, _HOLDING):
            for override in said:
                if override is not None and override.kind in kinds:
                    return override
        return None

    def weight(self, service: str) -> float:
        """The part of its clients that operators leave to the region, 0 to 1: the least that was said."""
        said = (self.overrides.get(service), self.override)
        weights = [each.weight for each in said if each is not None and each.weight is not None]
        return min(weights, default=1.0)


@dataclass(frozen=True, slots=True)
class PoolReport:
    """Of one pool in one region, as its edge sees it."""

    pool: str
    healthy: int
    servers: int
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """Of one balanced name in one region, as its edge sees it, over the last report interval.

    healthy, servers, in_flight: of the pools that its requests go to, in_flight with those of other names.
    error_rate: of its requests, 0 to 1. p50, p99: seconds within which so many percent of responses began;
    None without any. capacity: requests per second, declared or estimated; None: not known.
    """

    service: str
    healthy: int
    servers: int
    in_flight: int
    requests_per_second: float
    error_rate: float
    p50: float | None = None
    p99: float | None = None
    capacity: float | None = None
    utilisation: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """An edge's statement about its region. requests_per_second over the last report interval."""

    region: str
    edge: str
    at: float
    requests_per_second: float
    in_flight: int
    error_rate: float
    capacity: float | None
    utilisation: float | None
    pools: tuple[PoolReport, ...] = ()
    services: tuple[ServiceReport, ...] = ()
    epoch: int = 0
    sequence: int = 0

    @property
    def healthy(self) -> int:
        return sum(pool.healthy for pool in self.pools)

    @property
    def servers(self) -> int:
        return sum(pool.servers for pool in self.pools)


@dataclass(frozen=True, slots=True)
class World:
    """One snapshot. Decisions look at `regions` alone; reports are shown beside them.

    at: when it was made. store_read_at: when Redis was last read in full, None if never.
    """

    at: float
    regions: Mapping[str, RegionState]
    reports: Mapping[str, tuple[Report, ...]] = field(default_factory=dict)
    observers: tuple[str, ...] = ()
    store_read_at: float | None = None

    def region(self, name: str) -> RegionState:
        """The state of a region; an unheard-of one is UNKNOWN."""
        return self.regions.get(name) or RegionState(name)
