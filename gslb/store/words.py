"""What is decided through this process: operators' words, and how many clients regions take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import redis.asyncio as redis

from gslb.clock import Clock
from gslb.errors import StoreError
from gslb.fleet import Fleet
from gslb.store.connect import UNREACHABLE, reason
from gslb.store.intakes import news, propose
from gslb.store.ledger import Ledger
from gslb.store.local_history import LocalHistory
from gslb.store.override import (
    Subject,
    checked,
    cleared_event,
    delete_override,
    set_event,
    subject_of,
    write_override,
)
from gslb.world import Intake, Override

Client = Callable[[], redis.Redis]
"""The client to write with; raises StoreError while Redis is away."""


class Words:
    """Everything goes to Redis first, where there is one, and holds here once it holds there.

    Without `fleet.redis.url` it holds here alone. An operator who is told that it holds must be able to rely
    on that, hence a StoreError while Redis is away; an intake must go on meanwhile.
    """

    def __init__(self, ledger: Ledger, history: LocalHistory, clock: Clock) -> None:
        self._ledger = ledger
        self._history = history
        self._clock = clock
        self._changes: Counter[Subject] = Counter()

    @property
    def changes(self) -> Counter[Subject]:
        """How often each override was set or cleared here; a copy."""
        return self._changes.copy()

    async def set_override(self, fleet: Fleet, client: Client, override: Override) -> None:
        """Put it in force; raises StoreError if it cannot be, and says why."""
        now = self._clock.now()
        override = checked(override, fleet, now)
        if fleet.redis.url is None:
            self._history.say(set_event(override, now))
        else:
            try:
                await write_override(client(), override, now)
            except UNREACHABLE as error:
                raise StoreError(f"the override was not set: {reason(error)}") from None
        self._decide(subject_of(override), override)

    async def clear_override(self, fleet: Fleet, client: Client, subject: Subject, by: str) -> bool:
        """End it; False if there was none. Raises as set_override."""
        now = self._clock.now()
        if fleet.redis.url is None:
            cleared = subject in map(subject_of, self._ledger.overrides)
            if cleared:
                self._history.say(cleared_event(subject, by, now))
        else:
            try:
                cleared = await delete_override(client(), subject, by, now)
            except UNREACHABLE as error:
                raise StoreError(f"the override was not cleared: {reason(error)}") from None
        self._decide(subject, None)
        return cleared

    def _decide(self, subject: Subject, override: Override | None) -> None:
        self._changes[subject] += 1
        self._ledger.hear_override(*subject, override)

    async def propose_intake(self, fleet: Fleet, client: Client, region: str, intake: Intake) -> bool:
        """Have a region take so many clients from now on; False if somebody else's step came first."""
        before = self._ledger.intakes.get(region)
        if region not in fleet.regions or (before is not None and before.sequence >= intake.sequence):
            return False
        event = news(region, before, intake, self._clock.now())
        from_store = False
        try:
            if fleet.redis.url is not None:
                if not await propose(client(), region, intake, event):
                    return False
                from_store = True
            elif event is not None:
                self._history.say(event)
        except (StoreError, *UNREACHABLE):
            # What is decided now is written when Redis is back, unless others have gone further meanwhile.
            pass
        self._ledger.hear_intake(region, intake, from_store=from_store)
        return True
