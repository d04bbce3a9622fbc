"""Lets a node keep intakes: has them moved on when it is time, and hands what has changed to the store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

import structlog

from gslb.capacity.memory import Memory
from gslb.capacity.step import step
from gslb.clock import Clock
from gslb.fleet import Fleet
from gslb.world import Intake, World

EVERY = 1.0
"""Seconds; when the world changes, at once."""

AT_MOST_EVERY = 0.2
"""Seconds, however often the world changes."""

log = structlog.get_logger(__name__)


class Intakes(Protocol):
    """What is asked of the store."""

    @property
    def world(self) -> World: ...

    def subscribe(self, callback: Callable[[World], None]) -> None: ...

    async def propose_intake(self, region: str, intake: Intake) -> bool:
        """Put an intake in force everywhere; False if another one was quicker."""
        ...


class Keeper:
    """Belongs to one node; every node has one, and they agree through what the store holds.

    fleet: gives the one in force.
    """

    def __init__(self, store: Intakes, clock: Clock, fleet: Callable[[], Fleet]) -> None:
        self._store = store
        self._clock = clock
        self._fleet = fleet
        self._memory = Memory()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        self._store.subscribe(lambda _: self._changed.set())
        while True:
            self._changed.clear()
            try:
                await self.turn()
            except Exception:
                log.exception("intakes could not be moved on")
            _heed_cancellation()
            await asyncio.sleep(AT_MOST_EVERY)
            # Not wait_for: before Python 3.12 it swallows a cancellation that meets a change of the world.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY - AT_MOST_EVERY):
                    await self._changed.wait()

    async def turn(self) -> None:
        """Move on whatever is to be moved on now."""
        world = self._store.world
        moved = step(self._fleet(), world, self._memory, self._clock.monotonic())
        for region, intake in moved.items():
            if await self._store.propose_intake(region, intake):
                _tell(region, world.region(region).intake, intake)


def _heed_cancellation() -> None:
    """Raise the cancellation that was asked of this task, in case the store's client has swallowed it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _tell(region: str, before: Intake, after: Intake) -> None:
    """One line when a region begins or ends to give clients away, to be choosy, or to come back."""
    if _kinds(before) != _kinds(after):
        log.info("intake", region=region, now=after.reason)


def _kinds(intake: Intake) -> tuple[bool, bool, bool]:
    return intake.shed > 0.0, intake.takes < 1.0, intake.ramp < 1.0
