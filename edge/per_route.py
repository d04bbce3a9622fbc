"""What running edges keep for single routes: a route that stays as it was declared keeps its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from gslb.fleet import Route

Kept = TypeVar("Kept")


class PerRoute(Generic[Kept]):
    """Something for each route that has a certain setting, which decides what is made for it."""

    __slots__ = ("_by_route", "_kept", "_make", "_routes", "_setting")

    def __init__(self, setting: Callable[[Route], Hashable | None], make: Callable[[Route], Kept]) -> None:
        """setting: None for routes that have nothing. make: called for a route, or a setting, that is new."""
        self._setting = setting
        self._make = make
        self._by_route: Mapping[int, Kept] = {}
        self._kept: Mapping[Hashable, Kept] = {}
        self._routes: tuple[Route, ...] = ()

    def use(self, routes: Iterable[Route]) -> None:
        """Go on with the routes of another fleet."""
        self._routes = tuple(routes)  # they are known by their identity, which must stay their own
        by_route: dict[int, Kept] = {}
        kept: dict[Hashable, Kept] = {}
        for route in self._routes:
            setting = self._setting(route)
            if setting is not None:
                name = (route.host, route.path, route.methods, setting)
                found = self._kept.get(name)
                by_route[id(route)] = kept[name] = self._make(route) if found is None else found
        self._by_route, self._kept = by_route, kept

    def get(self, route: Route) -> Kept | None:
        """That of a route of this very fleet."""
        return self._by_route.get(id(route))

    def items(self) -> Iterable[tuple[Route, Kept]]:
        return [(route, kept) for route in self._routes if (kept := self.get(route)) is not None]
