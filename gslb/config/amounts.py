"""How are bytes and long times written, where a bare number would say too little?"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

from gslb.config.wrong_value import WrongError

_SIZE = re.compile(r"(\d{1,16}(?:\.\d{1,9})?)\s*([a-z]*)", re.ASCII)
_UNITS = {
    "": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 1000, "mb": 1000**2, "gb": 1000**3
}  # fmt: skip
_SIZES_LOOK = "write 64 KiB, 10 MiB, 1 GiB, or a number of bytes"
LARGEST_SIZE = 1 << 50
"""Bytes; what is more is a slip."""

_LONG = re.compile(r"(\d{1,10})\s*([a-z]*)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONG_LOOK = "write 365d, 12h, or a number of seconds"
LONGEST = 10 * 366 * 86400
"""Seconds; ten years."""


def parse_size(value: object) -> int:
    """Bytes from `64 KiB`, `10 MB` or a number; 0 to LARGEST_SIZE. Raises WrongError."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise WrongError("{value} is not a size", _SIZES_LOOK)
    match = _SIZE.fullmatch(str(value).strip().lower())
    if match is None or match[2] not in _UNITS:
        raise WrongError("{value} is not a size", _SIZES_LOOK)
    number, _, fraction = match[1].partition(".")
    # Whole numbers throughout: a float would round what is large.
    size, rest = divmod(int(number + fraction) * _UNITS[match[2]], int("1" + "0" * len(fraction)))
    if rest:
        raise WrongError("{value} is not a whole number of bytes", _SIZES_LOOK)
    if size > LARGEST_SIZE:
        raise WrongError("{value} is too large", f"the most is {LARGEST_SIZE} bytes")
    return size


def parse_bound(value: object) -> int:
    """Bytes, 1 at least: 0 means no bound to some, and nothing at all to others. Raises WrongError."""
    size = parse_size(value)
    if not size:
        raise WrongError("{value} leaves no room for anything", "for no bound leave it out")
    return size


def parse_long_time(value: object) -> int:
    """Whole seconds from `365d`, `12h`, `5m`, `30s` or a number; 0 to LONGEST. Raises WrongError."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise WrongError("{value} is not a time in whole seconds", _LONG_LOOK)
    match = _LONG.fullmatch(str(value).strip().lower())
    if match is None or match[2] not in _SECONDS:
        raise WrongError("{value} is not a time in whole seconds", _LONG_LOOK)
    seconds = int(match[1]) * _SECONDS[match[2]]
    if seconds > LONGEST:
        raise WrongError("{value} is longer than ten years", "two years (730d) are more than enough")
    return seconds


def _schema(pattern: str, least: int, description: str) -> WithJsonSchema:
    forms = [{"type": "string", "pattern": pattern}, {"type": "integer", "minimum": least}]
    return WithJsonSchema({"anyOf": forms, "description": description})


_SIZE_PATTERN = r"^\s*\d+(\.\d+)?\s*([KMGkmg][Ii]?)?[Bb]?\s*$"

Size = Annotated[int, PlainValidator(parse_size), _schema(_SIZE_PATTERN, 0, _SIZES_LOOK)]
Bound = Annotated[int, PlainValidator(parse_bound), _schema(_SIZE_PATTERN, 1, _SIZES_LOOK)]
LongTime = Annotated[
    int, PlainValidator(parse_long_time), _schema(r"^\s*\d+\s*[smhdSMHD]?\s*$", 0, _LONG_LOOK)
]
