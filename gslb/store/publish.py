"""Writes what this process has to say, in one batch, such that a delayed write undoes nothing newer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import redis.asyncio as redis
from redis.exceptions import ReadOnlyError, ResponseError

from gslb.fleet import RedisSettings
from gslb.store import events, keys
from gslb.store.codec import Fields, encode_observation, encode_report
from gslb.store.codec_verdicts import encode_region_state
from gslb.store.commands import Argument, Call, run
from gslb.store.intakes import proposal
from gslb.store.override import Subject, key_and_member
from gslb.store.scripts import CONCLUDE, GONE, SEEN, WRITE_VERSIONED
from gslb.store.scripts_words import UNLIST
from gslb.world import Intake, Observation, RegionState, Report

_UNWRITABLE = (ValueError, OverflowError, OSError)
"""What a moment that no calendar has makes of an attempt to write it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be written. nudge: keys of it that others shall read at once.

    verdicts: region states, each with whether it is a change (True) or a renewal (False).
    observer: under which name this process joins those who observe regions; None if it does not.
    intakes: by region, what Redis may not have yet. unlisted: overrides that leave the index if gone.
    """

    observations: Sequence[Observation] = ()
    reports: Sequence[Report] = ()
    nudge: frozenset[str] = frozenset()
    verdicts: Sequence[tuple[RegionState, bool]] = ()
    observer: str | None = None
    look_for_gone: bool = False
    intakes: Sequence[tuple[str, Intake]] = ()
    unlisted: Sequence[Subject] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """How it went. superseded: keys under which somebody newer writes. refusals: errors Redis gave,
    and what could not even be asked of it."""

    superseded: tuple[str, ...]
    refusals: tuple[str, ...]


async def write(
    client: redis.Redis, settings: RedisSettings, batch: Batch, *, author: str, now: float
) -> Written:
    """Write the batch, nudge the readers, and enter what happened into the stream of events.

    Raises what the client raises when Redis is away or is a read-only replica; other refusals are
    returned, as what could be written is written.
    """
    lease = int(settings.lease * 1000)
    unwritable: list[str] = []
    versioned = list(_versioned_calls(batch, lease, unwritable))
    verdicts = list(_conclusions(batch, author, lease, now, unwritable))
    calls = [*versioned, *verdicts]
    calls += [proposal(region, intake) for region, intake in batch.intakes]
    if batch.unlisted:
        unlisted = [key_and_member(subject) for subject in batch.unlisted]
        members = tuple(member for _, member in unlisted)
        calls.append(Call(UNLIST, (keys.OVERRIDES, *(key for key, _ in unlisted)), members))
    first_of_observers = len(calls)
    if batch.observer is not None:
        calls.append(Call(SEEN, (keys.OBSERVERS,), (batch.observer,)))
    if batch.look_for_gone:
        calls.append(Call(GONE, (keys.OBSERVERS,), (lease * keys.GONE_AFTER_LEASES,)))
    nudges: list[tuple[Argument, ...]] = [("PUBLISH", keys.CHANGES, key) for key in sorted(batch.nudge)]
    replies = await run(client, [*calls, *nudges])
    refusals = [reply for reply in replies[: len(calls)] if isinstance(reply, ResponseError)]
    for refusal in refusals:
        if isinstance(refusal, ReadOnlyError):
            raise refusal
    happened = _happened(batch, replies[first_of_observers : len(calls)], settings, now)
    # Who may not write here may not write there either, and has been told so; hence no second complaint.
    await run(client, [events.append_command(event) for event in happened])
    superseded = tuple(
        call.keys[0] for call, reply in zip(versioned, replies[: len(versioned)], strict=True) if reply == 0
    )
    return Written(superseded, tuple(dict.fromkeys([*map(str, refusals), *unwritable])))


def _versioned_calls(batch: Batch, lease: int, unwritable: list[str]) -> Iterator[Call]:
    """Calls for all records of this process; the keys of those that cannot be written go to `unwritable`.

    One such record must not hold up the rest, or a node would lose its link over it again and again.
    """
    for observation in batch.observations:
        key = keys.observation(observation.target, observation.observer)
        try:
            yield _versioned(key, observation, encode_observation(observation), lease)
        except _UNWRITABLE as error:
            unwritable.append(f"{key} cannot be written: {error}")
    for report in batch.reports:
        key = keys.report(report.region, report.edge)
        try:
            yield _versioned(key, report, encode_report(report), lease)
        except _UNWRITABLE as error:
            unwritable.append(f"{key} cannot be written: {error}")


def _conclusions(batch: Batch, author: str, lease: int, now: float, unwritable: list[str]) -> Iterator[Call]:
    """Likewise for verdicts, which follow in part from what others wrote."""
    for state, change in batch.verdicts:
        try:
            yield _conclusion(state, change, author, lease, now)
        except _UNWRITABLE as error:
            unwritable.append(f"{keys.verdict(state.region)} cannot be written: {error}")


def _versioned(key: str, record: Observation | Report, fields: Fields, lease: int) -> Call:
    return Call(WRITE_VERSIONED, (key,), (record.epoch, record.sequence, lease, *_flat(fields)))


def _conclusion(state: RegionState, change: bool, author: str, lease: int, now: float) -> Call:
    text = f"{state.region} is {state.verdict}: {state.reason}"
    told = events.Event(now, "verdict", text, state.region, state=state.verdict.value)
    event = events.append_arguments(told)
    fields = _flat(encode_region_state(state, author))
    return Call(
        CONCLUDE,
        (keys.verdict(state.region), keys.EVENTS),
        (lease, int(change), state.verdict.value, len(event), *event, *fields),
    )


def _flat(fields: Fields) -> list[str]:
    return [text for item in fields.items() for text in item]


def _happened(
    batch: Batch, replies: Sequence[object], settings: RedisSettings, now: float
) -> list[events.Event]:
    """The events that the replies to SEEN and GONE (in this order) prove to be ours to tell."""
    remaining = iter(replies)
    happened = []
    if batch.observer is not None and next(remaining) == 1:
        happened.append(events.Event(now, "observer_joined", f"{batch.observer} observes the regions"))
    if batch.look_for_gone:
        gone = next(remaining)
        silence = settings.lease * keys.GONE_AFTER_LEASES
        for name in gone if isinstance(gone, list) else ():
            text = f"{name.decode(errors='replace')} has been silent for {silence:g} s"
            happened.append(events.Event(now, "observer_left", text))
    return happened
