"""Reads field lines: one pass of a compiled pattern for good ones, an exact complaint for bad ones."""

from __future__ import annotations

import re

from edge.http1.errors import ProtocolError, Side
from edge.http1.events import Field
from edge.http1.inbox import LINE_END, refuse_controls

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# A line matches from its start to its CRLF or not at all, and no part of it can match in two ways. So as
# many matches as there are line ends means that all of the block is field lines (RFC 9112 5).
_PADDED_LINES = re.compile(rb"(?m:^)(" + TOKEN + rb"):[ \t]*+([\t -~\x80-\xff]*+)\r\n")
# Hardly anybody sends whitespace behind a value; without it nothing is left to strip.
_FIELD_LINES = re.compile(rb"(?m:^)(" + TOKEN + rb"):[ \t]*+([\t -~\x80-\xff]*+)(?<![ \t])\r\n")
_IS_TOKEN = re.compile(TOKEN)

# Fields that say what a trailer is too late for: where the message ends and whom it is for (RFC 9110 6.5.1).
_NEVER_IN_TRAILERS = frozenset((b"content-length", b"transfer-encoding", b"host"))
# Fields that are the business of one connection alone (RFC 9110 7.6.1): let go of in trailers.
_ONE_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
    )
)


def is_token(text: bytes) -> bool:
    """Whether it is a token, as names and methods are (RFC 9110 5.6.2)."""
    return _IS_TOKEN.fullmatch(text) is not None


def members(values: list[bytes]) -> list[bytes]:
    """A list field's members over all its lines, lower case, empty ones left out (RFC 9110 5.6.1).

    values: of fields, so without whitespace around them.
    """
    joined = b",".join(values).lower()
    if b"," not in joined:
        return [joined] if joined else []
    return [member for member in (part.strip(b" \t") for part in joined.split(b",")) if member]


def read_fields(side: Side, part: str, lines: bytes, most: int) -> list[Field]:
    """The fields of a block of lines that each end with CRLF: names as spelled, values without whitespace.

    part: "head" or "trailer". most: fields. Raises ProtocolError if there are more, or a line breaks a rule.
    """
    count = lines.count(b"\n")
    fields = _FIELD_LINES.findall(lines)
    if len(fields) != count:
        fields = [(name, value.rstrip(b" \t")) for name, value in _PADDED_LINES.findall(lines)]
    if len(fields) != count:
        _complain(side, part, lines)
    if count > most:
        raise ProtocolError(side.large, f"the {side.message}'s {part} has more than {most} fields")
    return fields


def _complain(side: Side, part: str, lines: bytes) -> None:
    """Raise ProtocolError for the first line that is no field line."""
    refuse_controls(side, part, lines)
    for line in lines.removesuffix(LINE_END).split(LINE_END):
        name, colon, _ = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            fault = f"has a line in its {part} that begins with whitespace; folded fields are obsolete"
        elif not colon:
            fault = f"has a line without a colon in its {part}"
        elif not name:
            fault = f"has a field without a name in its {part}"
        elif name[-1:] in (b" ", b"\t"):
            fault = f"has whitespace between a field's name and its colon in its {part}"
        elif not is_token(name):
            fault = f"has a field in its {part} whose name is not a token"
        else:
            continue
        raise side.broken(fault)
    raise side.broken(f"has a malformed {part}")


def read_trailers(side: Side, section: bytes, most: int) -> tuple[Field, ...]:
    """The fields of a trailer that may travel on (RFC 9110 6.5). section: its lines, the last without CRLF.

    Raises ProtocolError as `read_fields` does, and for fields that would change what the head has said.
    """
    kept = []
    for field in read_fields(side, "trailer", section + LINE_END, most):
        lower = field[0].lower()
        if lower in _NEVER_IN_TRAILERS:
            raise side.broken(f"has a {lower.decode().title()} field in its trailer")
        if lower not in _ONE_HOP:
            kept.append(field)
    return tuple(kept)
