"""Reads what others wrote: everything at once, or just the keys that a nudge named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import redis.asyncio as redis
from redis.exceptions import ResponseError

from gslb.fleet import Fleet
from gslb.health.fold import region_targets
from gslb.store import keys
from gslb.store.codec import decode_observation, decode_override, decode_report
from gslb.store.commands import Argument, run
from gslb.world import Observation, Override, Report

MOST_OBSERVERS = 1000
"""Of more observers, those heard longest ago are not read."""

_Record = TypeVar("_Record")


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
    readers = _readers(heard, fleet)
    known = [key for key in wanted if _kind(key) in readers]
    commands: list[tuple[Argument, ...]] = []
    for key in known:
        commands += [("HGETALL", key), ("PTTL", key)]
    replies = await run(client, commands)
    for key, fields, lease in zip(known, replies[::2], replies[1::2], strict=True):
        if isinstance(fields, ResponseError) and not str(fields).startswith("WRONGTYPE"):
            raise fields  # Not this key's fault: we may not read, or Redis is in no state to answer.
        if isinstance(fields, ResponseError):
            heard.unreadable[key] = "it is not a hash"
            fields = {}
        readers[_kind(key)](key, fields, lease / 1000)
    return heard


def _readers(heard: Heard, fleet: Fleet) -> Mapping[str, Callable[[str, Any, float], None]]:
    """How each kind of key is read into `heard`."""

    def observation(key: str, fields: Mapping[bytes, bytes], lease: float) -> None:
        name = keys.observation_of(key)
        record = _leased(heard, key, fields, lease, decode_observation)
        if record is None:
            return
        if (record.target, record.observer) != name:
            heard.unreadable[key] = "it speaks of another target or observer than its key"
            return
        heard.observations.append((record, lease))

    def report(key: str, fields: Mapping[bytes, bytes], lease: float) -> None:
        record = _leased(heard, key, fields, lease, decode_report)
        if record is None:
            return
        if keys.report(record.region, record.edge) != key:
            heard.unreadable[key] = "it speaks of another edge than its key"
            return
        heard.reports.append((record, lease))

    def override(key: str, fields: Mapping[bytes, bytes], lease: float) -> None:
        region = keys.override_of(key)
        if region is None or region not in fleet.regions:
            return
        record = decode_override(fields) if fields else None
        if fields and (record is None or record.region != region):
            heard.unreadable[key] = "it is not an override of this region"
            record = None
        heard.overrides[region] = record

    return {"observation": observation, "report": report, "override": override}


def _leased(
    heard: Heard,
    key: str,
    fields: Mapping[bytes, bytes],
    lease: float,
    decode: Callable[[Mapping[bytes, bytes]], _Record | None],
) -> _Record | None:
    if not fields or -1 < lease * 1000 < 1:
        return None
    if lease < 0:
        heard.unreadable[key] = "it has no lease (time to live)"
        return None
    record = decode(fields)
    if record is None:
        heard.unreadable[key] = "a field is missing or illegible"
    return record


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
