"""Keeps the rate limits that edges share in step with Redis, beside serving, which never waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from random import Random

import redis.asyncio as redis
import structlog

from edge.shared_rate_limit import Admitted, SharedBuckets, client_name
from gslb.fleet import RedisSettings
from gslb.store.connect import UNREACHABLE, connect, disconnect, reason
from gslb.store.rates import Client, Spending, spend

INTERVAL = 0.2
"""Seconds between two times that a process tells what it admitted, and learns what the others did."""

BACKOFF_LEAST, BACKOFF_MOST = 0.05, 2.0
"""Seconds between attempts to find Redis again: doubled each time, and spread out by chance."""

_log = structlog.get_logger("edge")


class SharedRates:
    """One process's part in all shared limits. `run` is its task.

    While Redis is away, this process admits its part of each limit: one in as many as shared limits when they
    were last counted. Before it ever met Redis it knows of nobody, and admits all of it. One that is cut off
    alone admits its part beside the others, which share the whole: 1/N more with N processes. The part
    begins when an attempt has failed, which takes up to `redis.timeout`.

    connected: whether the last attempt succeeded. processes: how many share limits, as far as is known.
    """

    def __init__(
        self,
        settings: RedisSettings,
        process: str,
        *,
        interval: float = INTERVAL,
        random: Random | None = None,
    ) -> None:
        """process: a name that no other process has, now or before. Raises StoreError for an unusable URL."""
        self.connected = False
        self.processes = 1
        self.last_error = ""
        self._client: redis.Redis = connect(settings)
        self._process = process
        self._interval = interval
        self._random = random or Random()
        self._limits: Mapping[str, SharedBuckets] = {}

    def use(self, limits: Mapping[str, SharedBuckets]) -> None:
        """Share these from now on. limits: by their names, as `limit_name` has them."""
        self._limits = dict(limits)
        self._divide()

    async def run(self) -> None:
        """Tell and learn, whatever happens, until cancelled."""
        task = asyncio.current_task()
        assert task is not None
        failures = 0
        try:
            while True:
                pause = await self._turn()
                if task.cancelling():
                    return  # before Python 3.12 the client may swallow a cancellation
                failures = 0 if self.connected else failures + 1
                if failures:
                    delay = min(BACKOFF_MOST, BACKOFF_LEAST * 2 ** min(failures, 10))
                    pause = delay * self._random.uniform(0.5, 1.0)
                await asyncio.sleep(pause)
        finally:
            self.connected = False
            await disconnect(self._client)

    async def _turn(self) -> float:
        """One attempt; seconds until the next one is due."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            await self._exchange(begun)
        except Exception as error:
            # Without this task limits would be shared no more; nothing on the way may end it.
            with contextlib.suppress(Exception):
                await self._lost(error)
        return max(0.0, begun + self._interval - loop.time())

    async def _exchange(self, now: float) -> None:
        told = [(name, buckets, buckets.tell(now)) for name, buckets in self._limits.items()]
        told = [each for each in told if each[2]]
        spendings = [_spending(name, buckets, admitted, now) for name, buckets, admitted in told]
        shared = await spend(self._client, self._process, spendings)
        was_away = bool(self.last_error)
        self.connected, self.processes, self.last_error = True, shared.processes, ""
        for (_, buckets, admitted), missing in zip(told, shared.missing, strict=True):
            buckets.learn((key for key, _ in admitted), missing, now)
        self._divide()
        if was_away:
            _log.info("rate limits are shared again", processes=self.processes)

    async def _lost(self, error: Exception) -> None:
        was_well = not self.last_error
        self.connected, self.last_error = False, reason(error)
        self._divide()
        # Sockets before words: a log that fails must not keep a broken connection in the pool.
        with contextlib.suppress(*UNREACHABLE):
            await self._client.connection_pool.disconnect()
        if not isinstance(error, UNREACHABLE):
            _log.error("rate limits are not shared by our own fault", exc_info=error)
        elif was_well:
            _log.warning(
                "rate limits are not shared; this process admits its part of them",
                processes=self.processes,
                error=self.last_error,
            )

    def _divide(self) -> None:
        among = 1 if self.connected else self.processes
        for buckets in self._limits.values():
            buckets.divide(among)


def _spending(
    name: str, buckets: SharedBuckets, admitted: list[tuple[str, Admitted]], now: float
) -> Spending:
    limit = buckets.limit
    clients = [Client(client_name(limit, key), noted.count, noted.full_at - now) for key, noted in admitted]
    return Spending(name, buckets.cost, limit.burst, clients)
