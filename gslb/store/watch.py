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
from gslb.store.codec import Fields, decode_observation, decode_report
from gslb.store.codec_intakes import decode_intake
from gslb.store.codec_overrides import decode_override
from gslb.store.commands import Call, run
from gslb.store.override import Subject, subject_of
from gslb.store.scripts import READ
from gslb.world import Intake, Observation, Override, Report

MOST_OBSERVERS = 1000
"""Of more observers, those heard longest ago are not read."""

MOST_OVERRIDES = 5000
"""Of more overrides on services, those that last longest are read."""

CHUNK = 100
"""Keys read by one call of the script, so that no call holds up Redis."""

ILLEGIBLE = "a field is missing or illegible"


@dataclass(slots=True)
class Heard:
    """What one reading found. Leases: seconds left. unreadable: keys, each with what is wrong with it.

    overrides, intakes: of all that was looked for; None where there is none. gone: overrides on services
    that the index still has although they are gone.
    """

    observations: list[tuple[Observation, float]] = field(default_factory=list)
    reports: list[tuple[Report, float]] = field(default_factory=list)
    overrides: dict[Subject, Override | None] = field(default_factory=dict)
    intakes: dict[str, Intake | None] = field(default_factory=dict)
    gone: tuple[Subject, ...] = ()
    unreadable: dict[str, str] = field(default_factory=dict)


async def read_everything(
    client: redis.Redis, fleet: Fleet, *, but_of: str | None = None, held: Iterable[Subject] = ()
) -> Heard:
    """All that Redis knows of the fleet's regions, except for observations by `but_of`.

    held: overrides that the caller knows of; whether they still stand is read as well. No key is searched
    for: all are known from the fleet, the observers' names and the index of overrides.
    """
    observers, listed = await run(
        client,
        [
            ("ZREVRANGE", keys.OBSERVERS, 0, MOST_OBSERVERS - 1),
            ("ZREVRANGE", keys.OVERRIDES, 0, MOST_OVERRIDES - 1),
        ],
    )
    on_services = [subject for name in _names(listed) if (subject := keys.listed_override(name)) is not None]
    subjects = dict.fromkeys([*((region, "") for region in fleet.regions), *on_services, *held])
    wanted = [keys.override(*subject) for subject in subjects]
    for region in fleet.regions.values():
        wanted.append(keys.intake(region.name))
        wanted += [keys.report(region.name, edge.name) for edge in region.edges]
        for target in region_targets(region).values():
            wanted += [
                keys.observation(target, observer) for observer in _names(observers) if observer != but_of
            ]
    heard = await read_keys(client, fleet, wanted)
    heard.gone = tuple(subject for subject in on_services if heard.overrides.get(subject, ...) is None)
    return heard


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
            _note_absence(heard, fleet, key)
            try:
                _READERS[_kind(key)](heard, fleet, key, *fields_of(found))
            except UnreadableError as error:
                heard.unreadable[key] = str(error)
    return heard


def _note_absence(heard: Heard, fleet: Fleet, key: str) -> None:
    """An override, or an intake, that is gone or that nobody can read is none; this must be heard as well."""
    subject, region = keys.override_of(key), keys.intake_of(key)
    if subject is not None and _concerns(fleet, subject):
        heard.overrides[subject] = None
    if region is not None and region in fleet.regions:
        heard.intakes[region] = None


def _concerns(fleet: Fleet, subject: Subject) -> bool:
    region, service = subject
    return (not region or region in fleet.regions) and (not service or service in fleet.services)


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
    subject = keys.override_of(key)
    if fields and subject is not None and _concerns(fleet, subject):
        record = decode_override(fields)
        if record is None:
            raise UnreadableError(ILLEGIBLE)
        if subject_of(record) != subject:
            raise UnreadableError("it speaks of another region or service than its key")
        heard.overrides[subject] = record


def _read_intake(heard: Heard, fleet: Fleet, key: str, fields: Fields, life: float | None) -> None:
    region = keys.intake_of(key)
    if fields and region is not None and region in fleet.regions:
        _lease(life)
        record = decode_intake(fields)
        if record is None:
            raise UnreadableError(ILLEGIBLE)
        if record[0] != region:
            raise UnreadableError("it speaks of another region than its key")
        heard.intakes[region] = record[1]


_READERS: Mapping[str, Callable[[Heard, Fleet, str, Fields, float | None], None]] = {
    "observation": _read_observation,
    "report": _read_report,
    "override": _read_override,
    "intake": _read_intake,
}


def _lease(life: float | None) -> float:
    if life is None:
        raise UnreadableError("it has no lease (time to live)")
    return life


def _kind(key: str) -> str:
    return key.removeprefix(keys.PREFIX).partition(":")[0] if key.startswith(keys.PREFIX) else ""


def _names(reply: object) -> list[str]:
    """Members of a sorted set out of a reply; what is no set is as good as empty."""
    if isinstance(reply, ResponseError):
        if not str(reply).startswith("WRONGTYPE"):
            raise reply
        return []
    assert isinstance(reply, list)
    return [name.decode(errors="replace") for name in reply]
