"""Brings a request's path into the one form that routes compare, and refuses what two readers read apart."""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"%(?:([0-9A-Fa-f]{2})|)")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class PathError(Exception):
    """A path that is not routed, and why: one sentence for the client."""


def normalise_path(target: bytes) -> bytes:
    """The path of an origin-form target as routes compare it (RFC 3986 6.2.2 and 5.2.4). Idempotent.

    Escapes of unreserved characters are decoded, other escapes written in upper case, dot segments removed,
    the query cut off. An escaped slash or backslash (`%2F`, `%5C`) is data and separates nothing, and empty
    segments (`//`) stay: both mean something to servers. Raises PathError for what a server might read as
    another path than we do: a NUL (`%00`), a backslash, a `%` without two hexadecimal digits, and `..` above
    the root.
    """
    path = target.partition(b"?")[0]
    if b"\\" in path:
        raise PathError("the path has a backslash; write %5C if it is meant")
    if b"%" in path:
        path = _ESCAPE.sub(_rewritten, path)
    if b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            if not kept:
                raise PathError("the path leads above the root")
            del kept[-1]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


def _rewritten(match: re.Match[bytes]) -> bytes:
    if match[1] is None:
        raise PathError("the path has a % that no two hexadecimal digits follow; write %25 if it is meant")
    octet = int(match[1], 16)
    if octet == 0:
        raise PathError("the path has a NUL (%00)")
    return bytes((octet,)) if octet in _UNRESERVED else match[0].upper()
