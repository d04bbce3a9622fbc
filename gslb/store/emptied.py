"""Notices that Redis has lost its memory, and gives back the operators' words that only lived there."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable

import redis.asyncio as redis
import structlog
from redis.exceptions import ReadOnlyError, ResponseError

from gslb.clock import Clock, iso
from gslb.server_change import ServerChange
from gslb.store import keys
from gslb.store.commands import Argument, Call, run
from gslb.store.events import Event, append_arguments
from gslb.store.override import flat_fields, key_and_member, lifetime, subject_of
from gslb.store.scripts_words import REMEMBER, RESTORE
from gslb.store.server_changes import restoring
from gslb.world import Override

_log = structlog.get_logger(__name__)


class Era:
    """Since when Redis remembers, as this process last found it.

    Redis that was emptied has another era, or none yet, and then whoever finds that gives it one. Only a
    process that has read everything within `entitled` seconds before gives words back: one that was cut off
    for longer could bring back what was cleared meanwhile.
    """

    def __init__(self, clock: Clock, author: str, entitled: float) -> None:
        self._clock = clock
        self._author = author
        self._entitled = entitled
        self._known = ""
        self._read_at: float | None = None

    def read_in_full(self) -> None:
        """Everything was read just now, in the era that was last seen."""
        self._read_at = self._clock.monotonic()

    async def check(
        self, client: redis.Redis, overrides: Iterable[Override], changes: Iterable[ServerChange]
    ) -> bool:
        """To be called before everything is read; whether Redis was emptied since it was called before.

        If so, `overrides` and `changes` are entered where Redis has nothing. Raises as the client.
        """
        found = await self._ask(client)
        if not found or found == self._known:
            return False
        emptied = bool(self._known)
        if emptied:
            given_back = await self._give_back(client, overrides, changes)
            # A log that fails is no reason to give the link up.
            with contextlib.suppress(Exception):
                _log.warning("redis lost its memory; what is known is written again", given_back=given_back)
        # Not before: if Redis goes away meanwhile, what was not given back is given back the next time.
        self._known = found
        return emptied

    async def _ask(self, client: redis.Redis) -> str:
        """The id of the era that is; empty where Redis does not let us know."""
        now = self._clock.now()
        text = f"redis lost its memory, found by {self._author}; what is known is written again"
        event = append_arguments(Event(now, "store_emptied", text))
        arguments = (uuid.uuid4().hex, iso(now), self._known, *event)
        (reply,) = await run(client, [Call(REMEMBER, (keys.ERA, keys.EVENTS), arguments)])
        if isinstance(reply, ReadOnlyError):
            raise reply
        return "" if isinstance(reply, ResponseError) else str(reply, "utf-8", "replace")

    async def _give_back(
        self, client: redis.Redis, overrides: Iterable[Override], changes: Iterable[ServerChange]
    ) -> int:
        if self._read_at is None or self._clock.monotonic() - self._read_at > self._entitled:
            return 0
        now = self._clock.now()
        calls = [_restoring(each, now) for each in overrides if each.until is None or each.until > now]
        calls += [call for each in changes if (call := restoring(each, now)) is not None]
        replies = await run(client, calls)
        # What cannot be given back now is as lost as it was; but nobody may be left without a link over it.
        given_back = [call.keys[0] for call, reply in zip(calls, replies, strict=True) if reply == 1]
        await run(client, [("PUBLISH", keys.CHANGES, key) for key in given_back])
        return len(given_back)


def _restoring(override: Override, now: float) -> Call:
    key, member = key_and_member(subject_of(override))
    arguments: tuple[Argument, ...] = (member, lifetime(override, now), *flat_fields(override))
    return Call(RESTORE, (key, keys.OVERRIDES, keys.CLEARED), arguments)
