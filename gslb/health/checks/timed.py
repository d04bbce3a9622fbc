"""Runs one probe against the clock: the part of it that no kind of check has for itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from gslb.health.checks.base import ProbeOutcome, milliseconds


async def timed_probe(
    exchange: Awaitable[tuple[bool, str]], timeout: float, phrase: Callable[[Exception], str]
) -> ProbeOutcome:
    """Await `exchange` (whether it went well, and why) for at most `timeout` seconds.

    What it raises becomes a failure with the reason that `phrase` finds for it; only cancellation passes.
    """
    started = time.perf_counter()
    try:
        async with asyncio.timeout(timeout):
            ok, reason = await exchange
    except TimeoutError as error:
        # With an error number it is the kernel that gave up connecting, and not our clock.
        ok, reason = False, f"timeout after {milliseconds(timeout)}" if error.errno is None else phrase(error)
    except Exception as error:
        ok, reason = False, phrase(error)
    latency = time.perf_counter() - started
    return ProbeOutcome(ok, f"{reason} in {milliseconds(latency)}" if ok else reason, latency)
