"""What regions.yaml declares of how pools and routes bear load and failure, as frozen objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from gslb.balancing import BalancingKey

if TYPE_CHECKING:
    from gslb.fleet import Secret


class ServerMode(StrEnum):
    """What a server is for. DRAIN: sessions that it has may go on, and nothing new comes. MAINTENANCE:
    nothing goes there at all."""

    READY = "ready"
    DRAIN = "drain"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True)
class Ejection:
    """When a server that checks call healthy gets no requests for a while, by what requests themselves show.

    errors: requests in a row without a response (no connection, broken off, timed out). server_errors: the
    same, or responses of 500 and above, while most other servers do better. success_rate: how many standard
    deviations below its pool's mean a server's success rate may lie. None: not looked at. interval: seconds
    over which success rates are counted; requests: of a server, in an interval, without which it is not
    compared. time: seconds for which a server is ejected, times the number of times in a row; most_time: at
    most. share: of a pool's servers that may be ejected at once, 0 to 1; one always may, if there are others.
    """

    errors: int | None = 5
    server_errors: int | None = 10
    success_rate: float | None = None
    interval: float = 10.0
    requests: int = 100
    time: float = 10.0
    most_time: float = 300.0
    share: float = 0.5


@dataclass(frozen=True, slots=True)
class SlowStart:
    """A server that comes back gets a growing part of its weight. time: seconds until all of it, 0 for at
    once. least: the part that it begins with, above 0 and up to 1."""

    time: float = 0.0
    least: float = 0.1


class SameSite(StrEnum):
    """With which requests of other sites a browser sends a cookie."""

    LAX = "lax"
    STRICT = "strict"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Sticky:
    """A cookie that keeps a client at its server. max_age: seconds that it lasts, None for the browser's
    session. secure: whether only HTTPS carries it; None: where it was set over HTTPS. secret: signs it."""

    cookie: str
    secret: Secret
    max_age: int | None = None
    same_site: SameSite = SameSite.LAX
    secure: bool | None = None


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """Requests of one edge process in flight at all servers of a pool. most: at most, None for no bound.

    adaptive: whether the limit goes down as response times grow, and up again; then between least and most.
    """

    most: int | None = None
    adaptive: bool = False
    least: int = 10


class Priority(StrEnum):
    """Which requests are turned away first when there is too little room."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class SpillOver(StrEnum):
    """When requests go on to another region's edge. ON_FAILURE: no server of the pool is usable here.

    ON_SATURATION: also where there is no room for more.
    """

    OFF = "off"
    ON_FAILURE = "on_failure"
    ON_SATURATION = "on_saturation"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Requests of one client: `requests` in `per` seconds, `burst` at once. Those beyond get 429.

    key: what makes a client; None: all requests of the route are one. shared: whether all edges count
    together, through Redis; else each edge process counts for itself.
    """

    requests: int
    per: float = 1.0
    burst: int = 1
    key: BalancingKey | None = field(default_factory=BalancingKey)
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Hedge:
    """A second try beside one that is slow; the first response counts.

    delay: seconds after which it begins; None: the time within which `percentile` (0 to 1) of the
    route's responses begin. share: of a route's requests that may be hedged, at most, 0 to 1.
    """

    delay: float | None = None
    percentile: float = 0.95
    share: float = 0.05


@dataclass(frozen=True, slots=True)
class Mirror:
    """A share (0 to 1) of requests goes to `pool` as well, and what it answers is discarded."""

    pool: str
    share: float = 1.0
