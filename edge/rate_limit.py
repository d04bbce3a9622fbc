"""Decides whether a client may send one more request now, and when it may if not."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address
from math import floor

from gslb.fleet_pool import RateLimit

MOST_KEYS = 65_536
"""Clients remembered at a time, of one limit."""

_LOOKED_AT = 8
_ROUNDING = 1e-6  # seconds that sums of many floating-point numbers may be off by; nobody waits for these


@lru_cache(4096)
def client_of(address: str) -> str:
    """Whom an address stands for: of IPv6 its /64, as nobody has less than one (RFC 6177)."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"


class Buckets:
    """One limit: a token bucket for every key.

    The generic cell rate algorithm (ITU-T I.371 annex A, "virtual scheduling"): of a bucket, only the moment
    is kept at which it will be full again, and every request moves that moment on by the time that one
    request takes to be refilled. A key that is not known, or whose moment has come, has a full bucket. A
    refused request moves nothing.

    At most MOST_KEYS are known. When one more comes, the few that were least recently asked for are looked
    at: those of them that are full again are forgotten, by which nothing is lost; if none is, the first of
    them. That client then has a full bucket before its time: up to `burst` requests too many, and what it
    owed besides. It takes MOST_KEYS busy clients to come to that.
    """

    __slots__ = ("_full_at", "_spacing", "_tolerance", "limit")

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._full_at: OrderedDict[str, float] = OrderedDict()  # what was asked for last is last
        self._hold(limit.per / limit.requests, limit.burst)

    def _hold(self, spacing: float, burst: int) -> None:
        """spacing: seconds in which one request is refilled. burst: requests in a full bucket."""
        self._spacing = spacing
        self._tolerance = (burst - 1) * spacing + _ROUNDING

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str, now: float) -> float:
        """0.0 when the request is admitted, and counted; else seconds until it would be. now: loop time."""
        known = self._full_at
        full_at = known.get(key)
        if full_at is None:
            self._make_room(now)
            known[key] = now + self._spacing
            return 0.0
        known.move_to_end(key)
        wait = full_at - now - self._tolerance
        if wait > 0.0:
            return wait + _ROUNDING
        known[key] = (full_at if full_at > now else now) + self._spacing
        return 0.0

    def give_back(self, key: str) -> None:
        """What `take` has just admitted is to be counted by another call of it."""
        full_at = self._full_at.get(key)
        if full_at is not None:
            self._full_at[key] = full_at - self._spacing

    def remaining(self, key: str, now: float) -> int:
        """How many requests of this key would be admitted now. now: loop time."""
        missing = max(0.0, self._full_at.get(key, now) - now)
        return max(0, floor((self._tolerance + self._spacing - missing) / self._spacing))

    def _make_room(self, now: float) -> None:
        """For one more key."""
        known = self._full_at
        if len(known) < MOST_KEYS:
            return
        oldest = [key for key, _ in zip(known, range(_LOOKED_AT), strict=False)]
        full = [key for key in oldest if known[key] <= now]
        for key in full or oldest[:1]:
            del known[key]
