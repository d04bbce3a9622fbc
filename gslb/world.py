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


@dataclass(frozen=True, slots=True)
class Override:
    """Who overrode a region's state, why, since and until when (seconds since 1970; None: until cleared)."""

    region: str
    kind: OverrideKind
    by: str
    reason: str
    since: float
    until: float | None = None


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


@dataclass(frozen=True, slots=True)
class RegionState:
    """The verdict on a region, from its edges' addresses or its hostname; beside it the operator's override.

    targets: by public address (text) or by the hostname, in the fleet's order.
    """

    region: str
    verdict: Verdict = Verdict.UNKNOWN
    since: float = 0.0
    reason: str = "not observed yet"
    flip_in: float = 0.0
    override: Override | None = None
    targets: Mapping[str, TargetState] = field(default_factory=dict)

    @property
    def eligible(self) -> bool:
        """Whether new clients may be sent here: the override's word, else anything but DOWN."""
        if self.override is not None:
            return self.override.kind is OverrideKind.FORCED_UP
        return self.verdict is not Verdict.DOWN


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
