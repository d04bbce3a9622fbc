"""Runs one probe against the clock: the part of it that no kind of check has for itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from gslb.health.checks.base import Judgement, ProbeOutcome, milliseconds


async def timed_probe(
    exchange: Awaitable[Judgement], timeout: float, phrase: Callable[[Exception], str]
) -> ProbeOutcome:
    """Await `exchange` for at most `timeout` seconds.

    What it raises becomes a failure with the reason that `phrase` finds for it; only cancellation passes.
    """
    started = time.perf_counter()
    try:
        async with asyncio.timeout(timeout):
            judged = await exchange
    except TimeoutError as error:
        # With an error number it is the kernel that gave up connecting, and not our clock.
        reason = f"timeout after {milliseconds(timeout)}" if error.errno is None else phrase(error)
        judged = Judgement(False, reason)
    except Exception as error:
        judged = Judgement(False, phrase(error))
    latency = time.perf_counter() - started
    if not judged.ok:
        return ProbeOutcome(False, judged.reason, latency)
    reason = f"{judged.reason} in {milliseconds(latency)}{judged.remark}"
    return ProbeOutcome(True, reason, latency, judged.load)
