"""Extended DNS errors (RFC 8914): what an RCODE alone does not tell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExtendedError:
    """info_code: as registered by IANA. text: for people; short, for it travels with every such answer."""

    info_code: int
    text: str = ""


INVALID_QUERY_TYPE = ExtendedError(30)
NOT_SUPPORTED = ExtendedError(21)
NOT_AUTHORITATIVE = ExtendedError(20)
PROHIBITED = ExtendedError(18)
ALL_DOWN = ExtendedError(23, "no region is healthy")
OTHER = ExtendedError(0)
