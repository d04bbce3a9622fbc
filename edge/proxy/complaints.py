"""Says in the log what went wrong, but never more often than a person and a disk can bear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog


class Complaints:
    """At most `limit` lines a second; what was held back is counted and told with the next line."""

    __slots__ = ("_held_back", "_limit", "_log", "_second", "_spoken", "_time")

    def __init__(self, time: Callable[[], float], limit: int = 10) -> None:
        self._log = structlog.get_logger("edge")
        self._time = time
        self._limit = limit
        self._second = 0
        self._spoken = 0
        self._held_back = 0

    def __call__(self, event: str, **details: Any) -> None:
        second = int(self._time())
        if second != self._second:
            self._second = second
            self._spoken = 0
        if self._spoken >= self._limit:
            self._held_back += 1
            return
        self._spoken += 1
        if self._held_back:
            details["held_back"] = self._held_back
            self._held_back = 0
        try:
            self._log.warning(event, **details)
        except Exception:
            # A full disk or a closed pipe is no reason to leave a request without its answer.
            self._held_back += 1
