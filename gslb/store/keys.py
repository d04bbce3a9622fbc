"""The only place that spells a key, a channel or a time to live of ours in Redis.

Every key starts with PREFIX; whatever else is in the same Redis is none of our business.
"""

from __future__ import annotations

PREFIX = "gslb:v1:"

OBSERVERS = PREFIX + "observers"
"""Sorted set: names of those who observe regions, scored by when they were last heard (Redis's ms)."""

EVENTS = PREFIX + "events"
"""Stream: what happened, for people."""

CHANGES = PREFIX + "changes"
"""Pub/sub channel: each message is the key that changed."""

LIMITERS = PREFIX + "limiters"
"""Sorted set: processes that share rate limits, scored by when they were last heard (Redis's ms)."""

EVENTS_KEPT = 10_000
"""About so many events are kept."""

_OBSERVATION = PREFIX + "observation:"
_REPORT = PREFIX + "report:"
_OVERRIDE = PREFIX + "override:"
_VERDICT = PREFIX + "verdict:"
_SERVER = PREFIX + "server:"
_SERVERS = PREFIX + "servers:"
_RATE = PREFIX + "rate:"

GONE_AFTER_LEASES = 3
"""An observer silent for so many leases has left; its votes have lapsed long before."""

RENEWALS_PER_LEASE = 3
"""A lease is renewed so many times in its life, so that one lost write costs no vote."""


def observation(target: str, observer: str) -> str:
    """Hash under a lease: what `observer` sees of `target`. No observer's name has a colon."""
    return f"{_OBSERVATION}{target}:{observer}"


def report(region: str, edge: str) -> str:
    """Hash under a lease: an edge's statement about its region. No region's name has a colon."""
    return f"{_REPORT}{region}:{edge}"


def override(region: str) -> str:
    """Hash, until its end if it has one: an operator's word on a region."""
    return _OVERRIDE + region


def verdict(region: str) -> str:
    """Hash under a lease, for people: what the DNS nodes conclude about a region."""
    return _VERDICT + region


def server(region: str, member: str) -> str:
    """Hash, until its end if it has one: an operator's word on a server. member: `POOL/ADDRESS`."""
    return f"{_SERVER}{region}/{member}"


def servers(region: str) -> str:
    """Sorted set: members of the keys above for a region, scored by when they end (Redis's ms, or +inf)."""
    return _SERVERS + region


def server_region_of(key: str) -> str | None:
    """The region of a server's key; None for other keys."""
    return key.removeprefix(_SERVER).partition("/")[0] or None if key.startswith(_SERVER) else None


def rate(limit: str) -> str:
    """Sorted set, until it is all over: the clients of a rate limit that have less than their whole burst,
    scored by when they have it again (Redis's ms)."""
    return _RATE + limit


def observation_of(key: str) -> tuple[str, str] | None:
    """The target and the observer of an observation's key; None for other keys."""
    if not key.startswith(_OBSERVATION):
        return None
    target, _, observer = key.removeprefix(_OBSERVATION).rpartition(":")
    return (target, observer) if target and observer else None


def override_of(key: str) -> str | None:
    """The region of an override's key; None for other keys."""
    return key.removeprefix(_OVERRIDE) or None if key.startswith(_OVERRIDE) else None
