"""Times as operators type them: how long, until when, since when."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from gslb.clock import iso
from gslb.dns.rdata import time_to_live
from gslb.errors import GslbError

_TIME_OF_DAY = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)


def seconds(text: str) -> float:
    """`90`, `90s`, `1h30m`, `2d` to seconds."""
    hint = "as in --for 90s, 30m, 1h30m or 2d"
    try:
        seconds = time_to_live(text)
    except ValueError:
        raise GslbError(f"{text!r} is not a length of time", hint=hint) from None
    if not seconds:
        raise GslbError("an override cannot last for no time at all", hint=hint)
    return float(seconds)


def end_of(length: str | None, until: str | None, now: float) -> float | None:
    """When something ends (seconds since 1970) that is to last `length`, or `until` then; None: never.

    `14:00` is the next time that it is so late here; other moments are as `a_moment` has them.
    """
    if length is not None and until is not None:
        raise GslbError("--for and --until both say when it ends", hint="give one of them")
    if length is not None:
        return now + seconds(length)
    if until is None:
        return None
    end = _time_of_day(until, now, coming=True)
    if end is None:
        end = _iso_moment(until, "as in --until 14:00 or 2026-11-22T14:00 (local time), or 2026-11-22T14:00Z")
    if end <= now:
        raise GslbError(f"{iso(end)} has passed", hint="give an end that is still to come")
    return end


def a_moment(text: str, now: float) -> float:
    """A moment that has been: `14:03` (local time, the latest), ISO 8601 (local time without a zone), or a
    length of time ago, `10m`."""
    then = _time_of_day(text, now, coming=False)
    if then is not None:
        return then
    try:
        return now - time_to_live(text)
    except ValueError:
        return _iso_moment(
            text, "as in 14:03, 2026-11-22T14:03 (local time), 2026-11-22T14:03Z, or 10m (ago)"
        )


def local(timestamp: float) -> str:
    """A moment on this machine's clock: `2026-11-22 14:03:12 CET`."""
    return datetime.fromtimestamp(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _time_of_day(text: str, now: float, *, coming: bool) -> float | None:
    """The next such time of day (with `coming`), or the latest; None for a text that is none."""
    match = _TIME_OF_DAY.fullmatch(text)
    if match is None:
        return None
    hour, minute, second = (int(part or 0) for part in match.groups())
    today = datetime.fromtimestamp(now).replace(hour=hour, minute=minute, second=second, microsecond=0)
    # Not 86,400 s apart: days on which clocks are changed are longer or shorter.
    moments = [(today + timedelta(days=days)).timestamp() for days in (-1, 0, 1)]
    if coming:
        return min(moment for moment in moments if moment > now)
    return max(moment for moment in moments if moment <= now)


def _iso_moment(text: str, hint: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise GslbError(f"{text!r} is not a time", hint=hint) from None
