"""Which pools a service's requests go to, as the routes have it: what both tiers judge the service by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from gslb.fleet import Route


def pools_of_services(names: Collection[str], routes: Sequence[Route]) -> Mapping[str, frozenset[str]]:
    """Of each service (a balanced name, lower case) the pools of routes for it, and of those for any host.

    The latter do not count where a route for its own host takes everything. A wildcard's are those of all
    hosts that it covers. Empty where no route tells.
    """
    of_any_host = frozenset(route.pool for route in routes if route.host is None)
    by_name: dict[str, set[str]] = defaultdict(set)
    whole: set[str] = set()
    for route in routes:
        name = route.host if route.host is None or route.host in names else _covering(route.host, names)
        if name is not None:
            by_name[name].add(route.pool)
            if name == route.host and not route.methods and route.path == "/":
                whole.add(name)
    return {
        name: frozenset(by_name[name]) if name in whole else of_any_host.union(by_name[name])
        for name in names
    }


def _covering(host: str, names: Collection[str]) -> str | None:
    """The wildcard that the host's questions are answered by (RFC 4592)."""
    above = host
    while above:
        above = above.partition(".")[2]
        if f"*.{above}" in names:
            return f"*.{above}"
    return None
