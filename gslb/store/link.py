"""Keeps one process in step with Redis: listens, reads and writes while it is there, and finds it again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Coroutine
from random import Random

import redis.asyncio as redis
import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from gslb.fleet import RedisSettings
from gslb.store import keys
from gslb.store.commands import load_scripts
from gslb.store.connect import UNREACHABLE, connect, disconnect, reason

COALESCE = 0.005
"""Seconds that nudges are gathered for, so that a burst of changes is one reading."""

MOST_NUDGES = 1000
"""Keys read one by one; when more have changed, everything is read."""

SILENCE = 5.0
"""Seconds after which a silent subscription is asked whether it is still there."""

BACKOFF_LEAST, BACKOFF_MOST = 0.05, 2.0
"""Seconds between attempts to find Redis again: doubled each time, and spread out by chance."""

_log = structlog.get_logger(__name__)


class Link:
    """Knows when to read and write, and leaves what to its owner; raises StoreError for an unusable URL.

    read(client, keys): read these keys, or everything for None. write(client, renew): write what is due,
    and with `renew` everything of our own. Both raise what the client raises when Redis is away.
    ignores(key): whether a nudge for `key` is of no interest. changed(connected): told whenever Redis is
    back, and after every failure.
    """

    def __init__(
        self,
        settings: RedisSettings,
        read: Callable[[redis.Redis, Collection[str] | None], Awaitable[None]],
        write: Callable[[redis.Redis, bool], Awaitable[None]],
        *,
        ignores: Callable[[str], bool] = lambda key: False,
        changed: Callable[[bool], None] = lambda connected: None,
        random: Random | None = None,
    ) -> None:
        self.client = connect(settings)
        self.connected = False
        self.last_error = ""
        self.first_attempt = asyncio.Event()
        self._settings = settings
        self._read = read
        self._write = write
        self._ignores = ignores
        self._changed = changed
        self._random = random or Random()
        self._nudged: set[str] = set()
        self._read_in_full = False
        self._renewal_wanted = False
        self._read_wanted = asyncio.Event()
        self._write_wanted = asyncio.Event()

    def wake_writer(self) -> None:
        """Something is due for writing."""
        self._write_wanted.set()

    def renew_now(self) -> None:
        """Everything of our own is to be written again."""
        self._renewal_wanted = True
        self._write_wanted.set()

    async def run(self) -> None:
        """Be linked; when the link is lost, be linked again."""
        failures = 0
        try:
            while True:
                try:
                    await self._linked()
                except Exception as error:
                    failures = 0 if self.connected else failures + 1
                    # Without this task the process would be blind for good; nothing on the way may end it.
                    with contextlib.suppress(Exception):
                        await self._lost(error)
                _heed_cancellation()
                delay = min(BACKOFF_MOST, BACKOFF_LEAST * 2 ** min(failures, 10))
                await asyncio.sleep(delay * self._random.uniform(0.5, 1.0))
        finally:
            self.connected = False
            await disconnect(self.client)

    async def _linked(self) -> None:
        await load_scripts(self.client)
        await self._read(self.client, None)
        await self._write(self.client, True)
        _heed_cancellation()
        was_away = bool(self.last_error)
        self.connected, self.last_error = True, ""
        if was_away:
            # A log that fails is no reason to give the link up again.
            with contextlib.suppress(Exception):
                _log.info("redis is back")
        self.first_attempt.set()
        self._changed(True)
        await _until_one_fails(self._listen(), self._keep_reading(), self._keep_writing())

    async def _lost(self, error: BaseException) -> None:
        was_well = not self.last_error
        self.connected, self.last_error = False, reason(error)
        self.first_attempt.set()
        self._changed(False)
        # Sockets before words: a log that fails must not keep a broken connection in the pool.
        with contextlib.suppress(*UNREACHABLE):
            await self.client.connection_pool.disconnect()
        if not isinstance(error, UNREACHABLE):
            _log.error("the link to redis failed by our own fault; it starts again", exc_info=error)
        elif was_well:
            _log.warning("redis is away; going on with what is known", error=self.last_error)

    async def _listen(self) -> None:
        """Take nudges until the subscription breaks; without permission to listen the poll must do."""
        async with self.client.pubsub() as subscription:
            try:
                await subscription.subscribe(keys.CHANGES)
                _heed_cancellation()
                await self._take_nudges(subscription)
            except ResponseError as error:
                _log.warning("no nudges from redis; changes arrive with the poll", error=reason(error))

    async def _take_nudges(self, subscription: redis.client.PubSub) -> None:
        asked = False
        while True:
            message = await subscription.get_message(timeout=SILENCE)
            if message is None:
                if asked:
                    raise RedisConnectionError("the subscription does not answer")
                await subscription.ping()
                _heed_cancellation()
            asked = message is None
            if message is not None and message["type"] == "subscribe":
                # What changed between the first reading and now was nudged to nobody here.
                self._read_in_full = True
                self._read_wanted.set()
            elif message is not None and message["type"] == "message":
                self._nudge(message["data"].decode(errors="replace"))

    def _nudge(self, key: str) -> None:
        if self._ignores(key):
            return
        if len(self._nudged) >= MOST_NUDGES:
            self._read_in_full = True
        else:
            self._nudged.add(key)
        self._read_wanted.set()

    async def _keep_reading(self) -> None:
        loop = asyncio.get_running_loop()
        next_poll = loop.time() + self._settings.poll
        while True:
            if await _is_set_by(self._read_wanted, next_poll):
                await asyncio.sleep(COALESCE)
            in_full = self._read_in_full or loop.time() >= next_poll
            nudged, self._nudged = self._nudged, set()
            self._read_in_full = False
            self._read_wanted.clear()
            await self._read(self.client, None if in_full else nudged)
            _heed_cancellation()
            if in_full:
                next_poll = loop.time() + self._settings.poll

    async def _keep_writing(self) -> None:
        loop = asyncio.get_running_loop()
        pause = self._settings.lease / keys.RENEWALS_PER_LEASE
        next_renewal = loop.time() + pause * self._random.uniform(0.8, 1.0)
        while True:
            told = await _is_set_by(self._write_wanted, next_renewal)
            # News that never end must not put off the renewal of all the rest.
            renew = not told or self._renewal_wanted or loop.time() >= next_renewal
            self._renewal_wanted = False
            self._write_wanted.clear()
            await self._write(self.client, renew)
            _heed_cancellation()
            if renew:
                next_renewal = loop.time() + pause * self._random.uniform(0.8, 1.0)


async def _is_set_by(event: asyncio.Event, deadline: float) -> bool:
    """Wait until `event` is set (True) or the loop's clock reads `deadline` (False)."""
    try:
        async with asyncio.timeout_at(deadline):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _heed_cancellation() -> None:
    """Raise the cancellation that was asked of this task, in case it was lost on its way here.

    The client sends through asyncio.wait_for, which before Python 3.12 swallows a cancellation that meets
    its completion; a loop that went on after that would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _until_one_fails(*works: Coroutine[None, None, None]) -> None:
    """Do all `works` at once; when one fails, end the others and raise its error.

    Not a TaskGroup: before Python 3.13 that leaves its task marked as cancelled when a child fails.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
