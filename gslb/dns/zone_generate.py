"""What `$GENERATE` makes of its templates, by the rules of BIND, which all of its users know."""

from __future__ import annotations

import re

MOST_GENERATED = 100_000
"""The most records that all directives of a zone make together; a reverse zone of a /16 takes 65,536."""

_RANGE = re.compile(r"(\d{1,10})-(\d{1,10})(?:/(\d{1,10}))?", re.ASCII)
_MODIFIER = re.compile(r"\{([+-]?\d{1,10})(?:,(\d{1,3})(?:,([doxXnN]))?)?\}", re.ASCII)


def numbers(text: str) -> range:
    """`1-10` or `0-255/16` (a step) to its numbers; raises ValueError."""
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a range: write like 1-10 or 0-255/16")
    first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if first > last or last >= 2**31 or not step:
        raise ValueError(
            f"{text!r} is not a range: it must rise, in steps of 1 or more, to at most 2147483647"
        )
    return range(first, last + 1, step)


def expand(template: str, number: int) -> str:
    """`$` and `${offset,width,base}` replaced by the number; `$$` is a dollar, and so is `\\$` in a name.

    Raises ValueError when a modifier is not one.
    """
    out: list[str] = []
    position = 0
    while position < len(template):
        if template[position] == "\\":
            out.append(template[position : position + 2])
            position += 2
        elif template[position] != "$":
            out.append(template[position])
            position += 1
        elif template[position + 1 : position + 2] == "$":
            out.append("$")
            position += 2
        elif template[position + 1 : position + 2] == "{":
            match = _MODIFIER.match(template, position + 1)
            if match is None:
                raise ValueError("after $ stands {offset}, {offset,width} or {offset,width,base}")
            out.append(_formatted(number + int(match[1]), int(match[2] or 0), match[3] or "d"))
            position = match.end()
        else:
            out.append(str(number))
            position += 1
    return "".join(out)


def _formatted(number: int, width: int, base: str) -> str:
    if number < 0:
        raise ValueError("the offset takes the number below 0")
    if base not in "nN":
        return f"{number:0{width}{base}}"
    return _nibbles(number, width, "0123456789ABCDEF" if base == "N" else "0123456789abcdef")


def _nibbles(number: int, width: int, digits: str) -> str:
    """Hexadecimal digits, the lowest first, dots between them; the width counts the dots as well."""
    text = ""
    while number or not text or len(text) < width:
        text += digits[number & 15]
        number >>= 4
        if number or len(text) < width:
            text += "."
    return text
