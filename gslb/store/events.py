"""The history of the fleet: a bounded stream of what happened, in sentences for people."""

from __future__ import annotations

from dataclasses import dataclass

import redis.asyncio as redis
from redis.exceptions import ResponseError

from gslb.clock import iso
from gslb.store import keys
from gslb.store.codec import Fields, number
from gslb.store.commands import Argument, run


@dataclass(frozen=True, slots=True)
class Event:
    """at: seconds since 1970.

    kind: verdict, override, override_cleared, server, server_cleared, observer_joined, observer_left, intake,
    store_emptied. region, service: what it is about, as far as it is. state: of a verdict, or an override's
    kind. until, weight: an override's.
    """

    at: float
    kind: str
    text: str
    region: str = ""
    service: str = ""
    state: str = ""
    until: float | None = None
    weight: float | None = None

    def fields(self) -> Fields:
        fields = {
            "at": iso(self.at),
            "kind": self.kind,
            "region": self.region,
            "service": self.service,
            "text": self.text,
        }
        if self.state:
            fields["state"] = self.state
        if self.until is not None:
            fields["until"] = iso(self.until)
        if self.weight is not None:
            fields["weight"] = number(self.weight)
        return fields


def append_command(event: Event) -> tuple[Argument, ...]:
    """The command that enters the event, and lets the oldest go."""
    return ("XADD", keys.EVENTS, *append_arguments(event))


def append_arguments(event: Event) -> tuple[Argument, ...]:
    """What follows the key in that command."""
    flat = [text for item in event.fields().items() for text in item]
    return ("MAXLEN", "~", keys.EVENTS_KEPT, "*", *flat)


async def read_events(client: redis.Redis, count: int) -> list[Fields]:
    """The newest `count` events, the newest first: the fields of an Event, all of them text."""
    entries = (await run(client, [("XREVRANGE", keys.EVENTS, "+", "-", "COUNT", count)]))[0]
    if isinstance(entries, ResponseError):
        raise entries
    return [
        {name.decode(errors="replace"): text.decode(errors="replace") for name, text in fields.items()}
        for _, fields in entries
    ]
