"""The rate limits of all routes as running things; a route that stays as it is keeps its clients' buckets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edge.rate_limit import Buckets
from edge.shared_rate_limit import SharedBuckets, limit_name
from gslb.fleet import RateLimit, Route


class RouteRates:
    """shared: those that edges count together, by their names in Redis."""

    __slots__ = ("_by_route", "_kept", "_routes", "shared")

    def __init__(self) -> None:
        self._by_route: Mapping[int, Buckets] = {}
        self._kept: Mapping[str, Buckets] = {}
        self._routes: tuple[Route, ...] = ()
        self.shared: Mapping[str, SharedBuckets] = {}

    def use(self, routes: Iterable[Route]) -> None:
        """Go on with the routes of another fleet."""
        self._routes = tuple(routes)  # they are known by their identity, which must stay their own
        by_route: dict[int, Buckets] = {}
        kept: dict[str, Buckets] = {}
        for route in self._routes:
            limit = route.rate_limit
            if limit is not None:
                name = limit_name(route, limit)
                by_route[id(route)] = kept[name] = self._kept.get(name) or _buckets(limit)
        self._by_route, self._kept = by_route, kept
        self.shared = {name: each for name, each in kept.items() if isinstance(each, SharedBuckets)}

    def get(self, route: Route) -> Buckets | None:
        """Those of a route of this very fleet; None if it has no limit."""
        return self._by_route.get(id(route))


def _buckets(limit: RateLimit) -> Buckets:
    return SharedBuckets(limit) if limit.shared else Buckets(limit)
