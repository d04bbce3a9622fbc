"""Long computations beside the threads that answer queries, which share the interpreter with them."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

SWITCH_INTERVAL = 1e-4
"""Seconds after which a computation gives way. With Python's own 5 ms, paid by every query, a thread answers
some 190 queries a second meanwhile; with this, thousands, and the computation takes half as long again."""


class _Courtesy:
    """What the interpreter is set to while anything is computed; several may overlap."""

    def __init__(self) -> None:
        self._works = 0
        self._interval = 0.0
        self._collects = False

    def __enter__(self) -> None:
        self._works += 1
        if self._works == 1:
            self._interval, self._collects = sys.getswitchinterval(), gc.isenabled()
            sys.setswitchinterval(SWITCH_INTERVAL)
            # To walk over all that is being read would stop every thread for a tenth of a second and more.
            gc.disable()

    def __exit__(self, *_: object) -> None:
        self._works -= 1
        if self._works == 0:
            sys.setswitchinterval(self._interval)
            if self._collects:
                gc.enable()


_courtesy = _Courtesy()


async def aside(work: Callable[[], Result]) -> Result:
    """Do `work` in a thread that gives way to the others; to be called on the event loop's thread."""
    with _courtesy:
        return await asyncio.to_thread(work)
