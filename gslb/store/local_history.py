"""The history of a process that stands alone: as others read it from Redis, and forgotten at its end."""

from __future__ import annotations

from gslb.store.codec import Fields
from gslb.store.events import Event

MOST = 1000
"""Events kept."""


class LocalHistory:
    """The newest events of this process."""

    def __init__(self) -> None:
        self._events: list[Fields] = []

    def say(self, event: Event) -> None:
        self._events.append(event.fields())
        del self._events[:-MOST]

    def newest(self, count: int) -> list[Fields]:
        """The newest first."""
        return self._events[: -count - 1 : -1]
