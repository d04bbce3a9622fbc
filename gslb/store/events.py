"""The history of the fleet: a bounded stream of what happened, in sentences for people."""

from __future__ import annotations

from dataclasses import dataclass

import redis.asyncio as redis
from redis.exceptions import ResponseError

from gslb.clock import iso
from gslb.store import keys
from gslb.store.codec import Fields
from gslb.store.commands import Argument, run


@dataclass(frozen=True, slots=True)
class Event:
    """at: seconds since 1970.

    kind: verdict, override, override_cleared, server, server_cleared, observer_joined, observer_left.
    """

    at: float
    kind: str
    text: str
    region: str = ""

    def fields(self) -> Fields:
        return {"at": iso(self.at), "kind": self.kind, "region": self.region, "text": self.text}


def append_command(event: Event) -> tuple[Argument, ...]:
    """The command that enters the event, and lets the oldest go."""
    return ("XADD", keys.EVENTS, *append_arguments(event))


def append_arguments(event: Event) -> tuple[Argument, ...]:
    """What follows the key in that command."""
    flat = [text for item in event.fields().items() for text in item]
    return ("MAXLEN", "~", keys.EVENTS_KEPT, "*", *flat)


async def read_events(client: redis.Redis, count: int) -> list[Fields]:
    """The newest `count` events, the newest first: fields at, kind, region, text (all of them text)."""
    entries = (await run(client, [("XREVRANGE", keys.EVENTS, "+", "-", "COUNT", count)]))[0]
    if isinstance(entries, ResponseError):
        raise entries
    return [
        {name.decode(errors="replace"): text.decode(errors="replace") for name, text in fields.items()}
        for _, fields in entries
    ]
