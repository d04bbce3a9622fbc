"""Reads what others wrote: everything at once, or just the keys that a nudge named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import redis.asyncio as redis
from redis.exceptions import ResponseError

from gslb.fleet import Fleet
from gslb.health.fold import region_targets
from gslb.store import keys
from gslb.store.codec import Fields, decode_observation, decode_override, decode_report
from gslb.store.commands import READ, Call, run
from gslb.world import Observation, Override, Report

MOST_OBSERVERS = 1000
"""Of more observers, those heard longest ago are not read."""

CHUNK = 100
"""Keys read by one call of the script, so that no call holds up Redis."""

ILLEGIBLE = "a field is missing or illegible"


@dataclass(slots=True)
class Heard:
    """What one reading found. Leases: seconds left. unreadable: keys, each with what is wrong with it."""

    observations: list[tuple[Observation, float]] = field(default_factory=list)
    reports: list[tuple[Report, float]] = field(default_factory=list)
    overrides: dict[str, Override | None] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


async def read_everything(client: redis.Redis, fleet: Fleet, *, but_of: str | None = None) -> Heard:
    """All that Redis knows of the fleet's regions, except for observations by `but_of`.

    No key is searched for: all are known from the fleet and the observers' names.
    """
    observers = await run(client, [("ZREVRANGE", keys.OBSERVERS, 0, MOST_OBSERVERS - 1)])
    wanted = [keys.override(region) for region in fleet.regions]
    for region in fleet.regions.values():
        wanted += [keys.report(region.name, edge.name) for edge in region.edges]
        for target in region_targets(region).values():
            wanted += [
                keys.observation(target, observer) for observer in _names(observers[0]) if observer != but_of
            ]
    return await read_keys(client, fleet, wanted)


async def read_keys(client: redis.Redis, fleet: Fleet, wanted: Iterable[str]) -> Heard:
    """What these keys hold; keys that mean nothing to a reader of worlds are passed over."""
    heard = Heard()
    known = [key for key in wanted if _kind(key) in _READERS]
    chunks = [tuple(known[start : start + CHUNK]) for start in range(0, len(known), CHUNK)]
    replies = await run(client, [Call(READ, chunk) for chunk in chunks])
    for chunk, reply in zip(chunks, replies, strict=True):
        if isinstance(reply, ResponseError):
            raise reply
        for key, found in zip(chunk, reply, strict=True):
            region = keys.override_of(key)
            if region is not None and region in fleet.regions:
                # An override that is gone, or that nobody can read, is none; this must be heard as well.
                heard.overrides[region] = None
            try:
                _READERS[_kind(key)](heard, fleet, key, *fields_of(found))
            except UnreadableError as error:
                heard.unreadable[key] = str(error)
    return heard


class UnreadableError(Exception):
    """What is wrong with a record."""


def fields_of(found: bytes | None) -> tuple[Fields, float | None]:
    """The fields and seconds to live (None: without end) out of READ's reply for one key."""
    if found is None:
        return {}, 0.0
    if not found.startswith(b"["):
        raise UnreadableError(f"it is a {found.decode(errors='replace')}, not a hash")
    try:
        lifetime, *flat = json.loads(found)
    except ValueError:
        raise UnreadableError("it is not text") from None
    return dict(zip(flat[::2], flat[1::2], strict=True)), None if lifetime < 0 else lifetime / 1000


def _read_observation(heard: Heard, fleet: Fleet, key: str, fields: Fields, life: float | None) -> None:
    if fields:
        lease = _lease(life)
        record = decode_observation(fields)
        if record is None:
            raise UnreadableError(ILLEGIBLE)
        if (record.target, record.observer) != keys.observation_of(key):
            raise UnreadableError("it speaks of another target or observer than its key")
        heard.observations.append((record, lease))


def _read_report(heard: Heard, fleet: Fleet, key: str, fields: Fields, life: float | None) -> None:
    if fields:
        lease = _lease(life)
        record = decode_report(fields)
        if record is None:
            raise UnreadableError(ILLEGIBLE)
        if keys.report(record.region, record.edge) != key:
            raise UnreadableError("it speaks of another edge than its key")
        heard.reports.append((record, lease))


def _read_override(heard: Heard, fleet: Fleet, key: str, fields: Fields, life: float | None) -> None:
    region = keys.override_of(key)
    if fields and region is not None and region in fleet.regions:
        record = decode_override(fields)
        if record is None:
            raise UnreadableError(ILLEGIBLE)
        if record.region != region:
            raise UnreadableError("it speaks of another region than its key")
        heard.overrides[region] = record


_READERS: Mapping[str, Callable[[Heard, Fleet, str, Fields, float | None], None]] = {
    "observation": _read_observation,
    "report": _read_report,
    "override": _read_override,
}


def _lease(life: float | None) -> float:
    if life is None:
        raise UnreadableError("it has no lease (time to live)")
    return life


def _kind(key: str) -> str:
    return key.removeprefix(keys.PREFIX).partition(":")[0] if key.startswith(keys.PREFIX) else ""


def _names(reply: object) -> list[str]:
    """Observers' names out of a reply; illegible members of the set are passed over."""
    if isinstance(reply, ResponseError):
        if not str(reply).startswith("WRONGTYPE"):
            raise reply
        return []
    assert isinstance(reply, list)
    return [name.decode(errors="replace") for name in reply]
