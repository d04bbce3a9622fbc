"""Proposes to Redis how many clients a region takes; of proposals with the same sequence the first wins."""

from __future__ import annotations

import re

import redis.asyncio as redis
from redis.exceptions import ResponseError

from gslb.store import keys
from gslb.store.codec_intakes import encode_intake
from gslb.store.commands import Argument, Call, run
from gslb.store.events import Event, append_arguments
from gslb.store.scripts_words import PROPOSE
from gslb.world import EVERYBODY, Intake

LEASE = 3600.0
"""Seconds that Redis keeps an intake which no node renews."""

_BEFORE_NUMBERS = re.compile(r"\D*")


async def propose(client: redis.Redis, region: str, intake: Intake, event: Event | None) -> bool:
    """Put it in force, and enter the event, unless Redis has one of this sequence or a greater.

    Raises what the client raises when Redis is away or refuses.
    """
    # The poll finds what the nudge does not tell: who may not nudge goes without it.
    reply, _ = await run(
        client, [proposal(region, intake, event), ("PUBLISH", keys.CHANGES, keys.intake(region))]
    )
    if isinstance(reply, ResponseError):
        raise reply
    return bool(reply)


def proposal(region: str, intake: Intake, event: Event | None = None) -> Call:
    """The call that does it; for an intake that Redis has already, it renews the lease."""
    told: tuple[Argument, ...] = () if event is None else append_arguments(event)
    fields = [text for item in encode_intake(region, intake).items() for text in item]
    arguments = (int(LEASE * 1000), intake.sequence, len(told), *told, *fields)
    return Call(PROPOSE, (keys.intake(region), keys.EVENTS), arguments)


def news(region: str, before: Intake | None, intake: Intake, now: float) -> Event | None:
    """The event of a step, if it is one for people: another reason, its numbers apart, or whole again.

    A region that gives clients away does so in many steps; the history must not fill with them.
    """
    before = before or EVERYBODY
    if intake.whole:
        text = "takes everybody again"
        is_news = not before.whole
    else:
        text = intake.reason
        is_news = before.whole or _beginning(before.reason) != _beginning(intake.reason)
    return Event(now, "intake", f"{region} {text}", region) if is_news else None


def _beginning(reason: str) -> str:
    match = _BEFORE_NUMBERS.match(reason)
    return match[0] if match else ""
