"""Routes: the most specific one wins, on whole segments of a normalised path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.route import RouteTable, normalise_host
from gslb.fleet import Route

HOSTS = (None, "www.example.com", "api.example.com")
SEGMENTS = st.sampled_from(["a", "b", "ab", "c"])
PATHS = st.lists(SEGMENTS, max_size=4).map(lambda segments: "/" + "/".join(segments))
METHODS = st.frozensets(st.sampled_from(["GET", "POST"]), max_size=2)
ROUTES = st.lists(
    st.builds(Route, st.sampled_from(HOSTS), PATHS, st.sampled_from(["p0", "p1", "p2", "p3", "p4"]), METHODS),
    max_size=12,
)


def pool(table: RouteTable, host: bytes, path: bytes, method: bytes) -> str:
    route = table.find(host, path, method)
    assert route is not None
    return route.pool


def brute_force(routes: list[Route], host: str, path: str, method: str) -> str | None:
    """The rule as the documentation says it, over every route."""

    def covers(prefix: str) -> bool:
        prefix = prefix.rstrip("/")
        return path == prefix or path.startswith(prefix + "/") or prefix == ""

    fitting = [
        route
        for route in routes
        if route.host in (None, host)
        and covers(route.path)
        and (not route.methods or method in route.methods)
    ]
    if not fitting:
        return None
    return max(
        fitting, key=lambda route: (route.host is not None, len(route.path.rstrip("/")), bool(route.methods))
    ).pool


@given(
    ROUTES,
    st.sampled_from(["www.example.com", "api.example.com", "x"]),
    PATHS,
    st.sampled_from(["GET", "PUT"]),
)
def test_it_agrees_with_brute_force(routes: list[Route], host: str, path: str, method: str) -> None:
    found = RouteTable(routes).find(host.encode(), path.encode(), method.encode())
    assert (found.pool if found is not None else None) == brute_force(routes, host, path, method)


def test_prefixes_match_whole_segments() -> None:
    table = RouteTable([Route(None, "/cart", "cart"), Route(None, "/", "web")])
    assert pool(table, b"", b"/cart", b"GET") == "cart"
    assert pool(table, b"", b"/cart/1", b"GET") == "cart"
    assert pool(table, b"", b"/carts", b"GET") == "web"


def test_a_path_of_many_slashes_is_split_no_further_than_needed() -> None:
    table = RouteTable([Route(None, "/a/b", "web")])
    assert pool(table, b"", b"/a/b" + b"/" * 100_000, b"GET") == "web"
    assert table.find(b"", b"*", b"OPTIONS") is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"WWW.Example.COM", b"www.example.com"),
        (b"www.example.com:8080", b"www.example.com"),
        (b"www.example.com.:80", b"www.example.com"),
        (b"[2001:DB8::1]:80", b"[2001:db8::1]"),
        (b"", b""),
    ],
)
def test_hosts(host: bytes, expected: bytes) -> None:
    assert normalise_host(host) == expected
