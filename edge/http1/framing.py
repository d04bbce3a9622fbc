"""Where does a body end? What Content-Length and Transfer-Encoding may say, for both sides (RFC 9112 6)."""

from __future__ import annotations

from edge.http1.errors import ProtocolError, Side
from edge.http1.events import Framing

_MOST_DIGITS = 18  # more than any body has, and never more than 63 bits


def read_framing(
    side: Side, minor: int, lengths: list[bytes], codings: list[bytes]
) -> tuple[Framing, int] | None:
    """CHUNKED or LENGTH with the length in bytes, or None where the fields say nothing.

    minor: of HTTP/1.x. lengths, codings: the values of Content-Length and Transfer-Encoding.
    Raises ProtocolError for whatever two readers could understand differently.
    """
    if codings:
        if lengths:
            raise side.broken("has both Content-Length and Transfer-Encoding")
        if minor == 0:
            raise side.broken("has a Transfer-Encoding, which HTTP/1.0 does not know")
        _refuse_all_but_chunked(side, codings)
        return Framing.CHUNKED, 0
    if lengths:
        return Framing.LENGTH, _length(side, lengths)
    return None


def _length(side: Side, values: list[bytes]) -> int:
    """One number; the same one several times is one (RFC 9110 8.6)."""
    first, *others = values if len(values) == 1 and b"," not in values[0] else _split(values)
    # bytes.isdigit knows ASCII digits only.
    if any(other != first for other in others):
        raise side.broken("has several Content-Length values that differ")
    if not first.isdigit() or len(first) > _MOST_DIGITS:
        raise side.broken(f"has a Content-Length that is not a number of at most {_MOST_DIGITS} digits")
    return int(first)


def _refuse_all_but_chunked(side: Side, values: list[bytes]) -> None:
    codings = [coding.lower() for coding in _split(values)]
    if codings == [b"chunked"]:
        return
    if b"" in codings:
        raise side.broken("has an empty member in its Transfer-Encoding")
    if codings[-1] != b"chunked":
        raise side.broken("has a Transfer-Encoding that does not end with chunked")
    if codings.count(b"chunked") > 1:
        raise side.broken("has chunked twice in its Transfer-Encoding")
    raise ProtocolError(
        side.unserved,
        f"the {side.message} has a Transfer-Encoding beside chunked; send it with chunked alone",
    )


def _split(values: list[bytes]) -> list[bytes]:
    """A list's members, empty ones too: here they are faults, not padding."""
    return [member.strip(b" \t") for member in b",".join(values).split(b",")]
