"""Decides which pool a request belongs to: host, longest path prefix on whole segments, method."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from edge.path import normalise_path
from gslb.fleet import Route


def normalise_host(host: bytes) -> bytes:
    """A Host field's value as routes compare it: lower case, without port and final dot."""
    host = host.strip().lower()
    if host.startswith(b"["):
        return host.partition(b"]")[0] + b"]"
    return host.partition(b":")[0].removesuffix(b".")


@dataclass(slots=True)
class _Node:
    """One path segment of the table. `narrow` asks for methods; `wide` takes every method."""

    children: dict[bytes, _Node] = field(default_factory=dict)
    narrow: list[tuple[frozenset[bytes], Route]] = field(default_factory=list)
    wide: Route | None = None

    def route(self, method: bytes) -> Route | None:
        for methods, route in self.narrow:
            if method in methods:
                return route
        return self.wide


class RouteTable:
    """Routes, compiled once. The most specific one wins: an exact host before any host, then the longest
    path, then one with methods before one without, then the file's order.

    A final slash of a prefix says nothing: prefixes match whole segments anyway.

    depth: which slash of a path is the first behind which nothing makes a difference; the leading one is 1.
    """

    __slots__ = ("_any_host", "_hosts", "depth")

    def __init__(self, routes: Iterable[Route]) -> None:
        self._hosts: dict[bytes, _Node] = {}
        self._any_host = _Node()
        # Paths are split no further than the deepest prefix: a path of a thousand slashes costs nothing.
        self.depth = 1
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._any_host
        if route.host is not None:
            node = self._hosts.setdefault(normalise_host(route.host.encode("idna")), _Node())
        segments = normalise_path(route.path.encode()).rstrip(b"/").split(b"/")[1:]
        self.depth = max(self.depth, len(segments) + 1)
        for segment in segments:
            node = node.children.setdefault(segment, _Node())
        if route.methods:
            node.narrow.append((frozenset(method.encode() for method in route.methods), route))
        elif node.wide is None:
            node.wide = route

    def find(self, host: bytes, path: bytes, method: bytes) -> Route | None:
        """The route of a request, or None. `host` and `path` are normalised already."""
        segments = path.split(b"/", self.depth)
        node = self._hosts.get(host)
        if node is not None:
            route = self._descend(node, segments, method)
            if route is not None:
                return route
        return self._descend(self._any_host, segments, method)

    @staticmethod
    def _descend(node: _Node, segments: list[bytes], method: bytes) -> Route | None:
        found = node.route(method)
        for segment in segments[1:]:
            below = node.children.get(segment)
            if below is None:
                break
            node = below
            found = node.route(method) or found
        return found
