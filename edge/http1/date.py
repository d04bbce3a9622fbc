"""The Date field, in the one form and language it has, whatever the locale (RFC 9110 5.6.7 and 6.6.1)."""

from __future__ import annotations

import time
from functools import lru_cache

_DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS = (
    *(b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun"),
    *(b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"),
)


@lru_cache(1)
def date_line(second: int) -> bytes:
    """The field with its line end. second: since 1970. The last one asked for is kept: most share it."""
    moment = time.gmtime(second)
    return b"Date: %b, %02d %b %04d %02d:%02d:%02d GMT\r\n" % (
        _DAYS[moment.tm_wday],
        moment.tm_mday,
        _MONTHS[moment.tm_mon - 1],
        moment.tm_year,
        moment.tm_hour,
        moment.tm_min,
        moment.tm_sec,
    )
