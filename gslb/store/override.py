"""Sets and clears operators' overrides in Redis, each with its entry in the history."""

from __future__ import annotations

import redis.asyncio as redis
from redis.exceptions import ResponseError

from gslb.clock import iso
from gslb.errors import StoreError
from gslb.fleet import Fleet
from gslb.store import keys
from gslb.store.codec import LONGEST_VALUE, decode_override, encode_override
from gslb.store.commands import REPLACE, Argument, Call, run
from gslb.store.events import Event, append_command
from gslb.world import Override


def checked(override: Override, fleet: Fleet, now: float) -> Override:
    """The override as every reader will read it; raises StoreError for one that nobody could use."""
    if override.region not in fleet.regions:
        raise StoreError(
            f"there is no region {override.region}", hint=f"the regions are {', '.join(fleet.regions)}"
        )
    if override.until is not None and override.until <= now:
        raise StoreError(
            f"the override of {override.region} would have ended at {iso(override.until)}",
            hint="give an end that is still to come, or none",
        )
    fields = encode_override(override)
    legible = decode_override(
        {name: text.encode("utf-8", "replace").decode() for name, text in fields.items()}
    )
    if legible is None:
        raise StoreError(
            f"the override of {override.region} cannot be stored",
            hint=f"keep texts under {LONGEST_VALUE} characters",
        )
    return legible


def set_event(override: Override, now: float) -> Event:
    end = f" until {iso(override.until)}" if override.until is not None else ""
    why = f": {override.reason}" if override.reason else ""
    text = f"{override.region} {describe(override)}{end}{why}"
    return Event(now, "override", text, override.region)


def cleared_event(region: str, by: str, now: float) -> Event:
    who = f" by {by}" if by else ""
    return Event(now, "override_cleared", f"the override of {region} was cleared{who}", region)


def describe(override: Override) -> str:
    """`drained by ana`, `forced up by ana`."""
    words = {"drain": "drained", "forced_up": "forced up", "forced_down": "forced down"}
    return f"{words[override.kind.value]} by {override.by}"


async def write_override(client: redis.Redis, override: Override, now: float) -> None:
    """Put a checked override in force; raises what the client raises when Redis is away or refuses."""
    key = keys.override(override.region)
    lifetime = 0 if override.until is None else max(1, int((override.until - now) * 1000))
    flat = [text for item in encode_override(override).items() for text in item]
    await _do(client, Call(REPLACE, (key,), (lifetime, *flat)))
    await _tell(client, key, set_event(override, now))


async def delete_override(client: redis.Redis, region: str, by: str, now: float) -> bool:
    """End an override; False if there was none. Raises as write_override does."""
    key = keys.override(region)
    if not await _do(client, ("DEL", key)):
        return False
    await _tell(client, key, cleared_event(region, by, now))
    return True


async def _do(client: redis.Redis, command: tuple[Argument, ...] | Call) -> object:
    reply: object = (await run(client, [command]))[0]
    if isinstance(reply, ResponseError):
        raise reply
    return reply


async def _tell(client: redis.Redis, key: str, event: Event) -> None:
    # The poll finds what the nudge does not tell: who may not nudge goes without it. But history counts.
    await run(client, [("PUBLISH", keys.CHANGES, key)])
    await _do(client, append_command(event))
