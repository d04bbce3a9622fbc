"""The only place that spells a key, a channel or a time to live of ours in Redis.

Every key starts with PREFIX (in a Cluster with that in braces, see cluster.py); whatever else is in the same
Redis is none of our business.
"""

from __future__ import annotations

PREFIX = "gslb:v1:"

OBSERVERS = PREFIX + "observers"
"""Sorted set: names of those who observe regions, scored by when they were last heard (Redis's ms)."""

EVENTS = PREFIX + "events"
"""Stream: what happened, for people."""

CHANGES = PREFIX + "changes"
"""Pub/sub channel: each message is the key that changed."""

OVERRIDES = PREFIX + "overrides"
"""Sorted set: members of the keys of overrides on services, scored by when they end (Redis's ms, or +inf)."""

CLEARED = PREFIX + "cleared"
"""Sorted set: keys of operators' words that were taken back lately, scored by when (Redis's ms)."""

ERA = PREFIX + "era"
"""Hash: since when Redis remembers, under an id that nobody else has; gone when Redis has lost its memory."""

LIMITERS = PREFIX + "limiters"
"""Sorted set: processes that share rate limits, scored by when they were last heard (Redis's ms)."""

EVENTS_KEPT = 10_000
"""About so many events are kept."""

_OBSERVATION = PREFIX + "observation:"
_REPORT = PREFIX + "report:"
_OVERRIDE = PREFIX + "override:"
_INTAKE = PREFIX + "intake:"
_VERDICT = PREFIX + "verdict:"
_SERVER = PREFIX + "server:"
_SERVERS = PREFIX + "servers:"
_RATE = PREFIX + "rate:"

EVERYWHERE = "*"
"""Stands in a key for the region of an override that has none."""

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


def override(region: str, service: str = "") -> str:
    """Hash, until its end if it has one: an operator's word on a region, or on a service in it.

    region: empty for a service wherever it is.
    """
    return _OVERRIDE + (override_member(region, service) if service else region)


def override_member(region: str, service: str) -> str:
    """Under which OVERRIDES lists an override on a service."""
    return f"{region or EVERYWHERE}/{service}"


def intake(region: str) -> str:
    """Hash under a long lease: how many clients a region takes."""
    return _INTAKE + region


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


def report_of(key: str) -> tuple[str, str] | None:
    """The region and the edge of a report's key; None for other keys."""
    if not key.startswith(_REPORT):
        return None
    region, _, edge = key.removeprefix(_REPORT).partition(":")
    return (region, edge) if region and edge else None


def override_of(key: str) -> tuple[str, str] | None:
    """The region and the service of an override's key, as for `override`; None for other keys."""
    if not key.startswith(_OVERRIDE):
        return None
    region, slash, service = key.removeprefix(_OVERRIDE).partition("/")
    if not region or bool(slash) != bool(service) or (region == EVERYWHERE and not service):
        return None
    return "" if region == EVERYWHERE else region, service


def listed_override(member: str) -> tuple[str, str] | None:
    """The region and the service of a member of OVERRIDES; None for what is no such member."""
    subject = override_of(_OVERRIDE + member)
    return subject if subject is not None and subject[1] else None


def intake_of(key: str) -> str | None:
    """The region of an intake's key; None for other keys."""
    return key.removeprefix(_INTAKE) or None if key.startswith(_INTAKE) else None
