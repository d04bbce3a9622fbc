"""Decides which pool a request belongs to: host, longest path prefix on whole segments, method."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from gslb.fleet import Route

_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def normalise_host(host: bytes) -> bytes:
    """A Host field's value as routes compare it: lower case, without port and final dot."""
    host = host.strip().lower()
    if host.startswith(b"["):
        return host.partition(b"]")[0] + b"]"
    return host.partition(b":")[0].removesuffix(b".")


def _decode_unreserved(match: re.Match[bytes]) -> bytes:
    octet = int(match[0][1:], 16)
    return bytes((octet,)) if octet in _UNRESERVED else match[0].upper()


def normalise_path(target: bytes) -> bytes:
    """The path of an origin-form target as routes compare it (RFC 3986 6.2.2 and 5.2.4).

    Escapes of unreserved characters are decoded, other escapes written in upper case, dot segments
    removed, the query cut off. Empty segments stay: they mean something to servers. Idempotent.
    """
    path = target.partition(b"?")[0]
    if b"%" in path:
        path = _ESCAPE.sub(_decode_unreserved, path)
    if b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


@dataclass(slots=True)
class _Node:
    """One path segment of the table. `narrow` asks for methods; `wide` takes every method."""

    children: dict[bytes, _Node] = field(default_factory=dict)
    narrow: list[tuple[frozenset[bytes], str]] = field(default_factory=list)
    wide: str | None = None

    def pool(self, method: bytes) -> str | None:
        for methods, pool in self.narrow:
            if method in methods:
                return pool
        return self.wide


class RouteTable:
    """Routes, compiled once. The most specific one wins: an exact host before any host, then the longest
    path, then one with methods before one without, then the file's order.

    A final slash of a prefix says nothing: prefixes match whole segments anyway.
    """

    __slots__ = ("_any_host", "_depth", "_hosts")

    def __init__(self, routes: Iterable[Route]) -> None:
        self._hosts: dict[bytes, _Node] = {}
        self._any_host = _Node()
        # Paths are split no further than the deepest prefix: a path of a thousand slashes costs nothing.
        self._depth = 1
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._any_host
        if route.host is not None:
            node = self._hosts.setdefault(normalise_host(route.host.encode("idna")), _Node())
        segments = normalise_path(route.path.encode()).rstrip(b"/").split(b"/")[1:]
        self._depth = max(self._depth, len(segments) + 1)
        for segment in segments:
            node = node.children.setdefault(segment, _Node())
        if route.methods:
            node.narrow.append((frozenset(method.encode() for method in route.methods), route.pool))
        elif node.wide is None:
            node.wide = route.pool

    def find(self, host: bytes, path: bytes, method: bytes) -> str | None:
        """The name of the pool for a request, or None. `host` and `path` are normalised already."""
        segments = path.split(b"/", self._depth)
        node = self._hosts.get(host)
        if node is not None:
            pool = self._descend(node, segments, method)
            if pool is not None:
                return pool
        return self._descend(self._any_host, segments, method)

    @staticmethod
    def _descend(node: _Node, segments: list[bytes], method: bytes) -> str | None:
        found = node.pool(method)
        for segment in segments[1:]:
            below = node.children.get(segment)
            if below is None:
                break
            node = below
            found = node.pool(method) or found
        return found
