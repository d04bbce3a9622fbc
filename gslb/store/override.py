"""Sets and clears operators' overrides in Redis, each with its entry in the history."""

from __future__ import annotations

from collections.abc import Collection

import redis.asyncio as redis
from redis.exceptions import ResponseError

from gslb.clock import iso
from gslb.errors import StoreError
from gslb.fleet import Fleet
from gslb.store import keys
from gslb.store.codec import LONGEST_VALUE, number
from gslb.store.codec_overrides import decode_override, encode_override
from gslb.store.commands import Call, run
from gslb.store.events import Event, append_arguments
from gslb.store.scripts_words import SAY, TAKE_BACK
from gslb.world import Override, OverrideKind

Subject = tuple[str, str]
"""What an override is on: a region and a service, either of which may be empty, but not both."""

_NAMED = 5
_WORDS = {
    OverrideKind.DRAIN: "drained",
    OverrideKind.FORCED_UP: "forced up",
    OverrideKind.FORCED_DOWN: "forced down",
    OverrideKind.HOLD: "held as it is",
}


def subject_of(override: Override) -> Subject:
    return override.region, override.service


def called(subject: Subject) -> str:
    """`eu-west`, `www.shop.example in eu-west`, `www.shop.example`."""
    region, service = subject
    return f"{service} in {region}" if region and service else region or service


def checked(override: Override, fleet: Fleet, now: float) -> Override:
    """The override as every reader will read it; raises StoreError for one that nobody could use."""
    name = called(subject_of(override))
    _check_subject(override, fleet)
    if override.until is not None and override.until <= now:
        raise StoreError(
            f"the override of {name} would have ended at {iso(override.until)}",
            hint="give an end that is still to come, or none",
        )
    weight = -1.0 if override.weight is None else override.weight
    if override.kind is OverrideKind.WEIGHT and not 0.0 <= weight <= 1.0:
        raise StoreError(f"the weight of {name} is not between 0 and 1", hint="as in 0.25 for a quarter")
    if override.kind is OverrideKind.HOLD and not override.held:
        raise StoreError(
            f"a hold of {name} that holds nothing is none", hint="say which regions' verdicts it keeps"
        )
    fields = encode_override(override)
    legible = decode_override(
        {field: text.encode("utf-8", "replace").decode() for field, text in fields.items()}
    )
    if legible is None:
        raise StoreError(
            f"the override of {name} cannot be stored", hint=f"keep texts under {LONGEST_VALUE} characters"
        )
    return legible


def _check_subject(override: Override, fleet: Fleet) -> None:
    regions = [region for region, _ in override.held]
    regions += [override.region] if override.region or not override.service else []
    for region in regions:
        if region not in fleet.regions:
            raise StoreError(f"there is no region {region}", hint=_known("the regions are", fleet.regions))
    if not override.service:
        return
    if override.service not in fleet.services:
        raise StoreError(
            f"there is no service {override.service}", hint=_known("the services are", fleet.services)
        )
    served_from = fleet.services[override.service].regions
    if override.region and override.region not in served_from:
        raise StoreError(
            f"{override.service} is not served from {override.region}",
            hint=_known("it is served from", served_from),
        )


def _known(beginning: str, names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_NAMED]) if len(names) > 2 * _NAMED else ", ".join(names)
    return f"{beginning} {shown}" + (f" and {len(names) - _NAMED} more" if len(names) > 2 * _NAMED else "")


def set_event(override: Override, now: float) -> Event:
    end = f" until {iso(override.until)}" if override.until is not None else ""
    why = f": {override.reason}" if override.reason else ""
    return Event(
        now,
        "override",
        f"{called(subject_of(override))} {describe(override)}{end}{why}",
        override.region,
        override.service,
        state=override.kind.value,
        until=override.until,
        weight=override.weight,
    )


def cleared_event(subject: Subject, by: str, now: float) -> Event:
    who = f" by {by}" if by else ""
    return Event(now, "override_cleared", f"the override of {called(subject)} was cleared{who}", *subject)


def describe(override: Override) -> str:
    """`drained by ana`, `forced up by ana`, `given weight 0.25 by ana`."""
    words = _WORDS.get(override.kind) or f"given weight {number(override.weight or 0.0)}"
    return f"{words} by {override.by}"


async def write_override(client: redis.Redis, override: Override, now: float) -> None:
    """Put a checked override in force; raises what the client raises when Redis is away or refuses."""
    key, member = key_and_member(subject_of(override))
    event = append_arguments(set_event(override, now))
    arguments = (member, lifetime(override, now), len(event), *event, *flat_fields(override))
    await _say(client, key, Call(SAY, _keys(key), arguments))


async def delete_override(client: redis.Redis, subject: Subject, by: str, now: float) -> bool:
    """End an override; False if there was none. Raises as write_override does."""
    key, member = key_and_member(subject)
    arguments = (member, *append_arguments(cleared_event(subject, by, now)))
    return await _say(
        client, key, Call(TAKE_BACK, (key, keys.OVERRIDES, keys.CLEARED, keys.EVENTS), arguments)
    )


def key_and_member(subject: Subject) -> tuple[str, str]:
    """The key of an override, and its name in the index of those on services; empty: it is not listed."""
    return keys.override(*subject), keys.override_member(*subject) if subject[1] else ""


def lifetime(override: Override, now: float) -> int:
    """Milliseconds for which Redis keeps it; 0: for good."""
    return 0 if override.until is None else max(1, int((override.until - now) * 1000))


def flat_fields(override: Override) -> list[str]:
    return [text for item in encode_override(override).items() for text in item]


def _keys(key: str) -> tuple[str, ...]:
    return key, keys.OVERRIDES, keys.CLEARED, keys.EVENTS


async def _say(client: redis.Redis, key: str, call: Call) -> bool:
    # The poll finds what the nudge does not tell: who may not nudge goes without it.
    reply, _ = await run(client, [call, ("PUBLISH", keys.CHANGES, key)])
    if isinstance(reply, ResponseError):
        raise reply
    return bool(reply)
