"""The work that a process does beside serving; when any of it ends by an error, that is told."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import structlog


class Tasks:
    """Until `stop`."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def run(self, work: Coroutine[None, None, None], name: str) -> None:
        """Begin it now, on the running loop."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(_tell)
        self._tasks.append(task)

    async def stop(self) -> None:
        """Cancel all of it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        structlog.get_logger("edge").error(
            "a task of the edge ended", task=task.get_name(), exc_info=task.exception()
        )
