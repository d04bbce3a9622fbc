"""Routes: the most specific one wins, on whole segments of a normalised path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.route import RouteTable, normalise_host, normalise_path
from gslb.fleet import Route

HOSTS = (None, "www.example.com", "api.example.com")
SEGMENTS = st.sampled_from(["a", "b", "ab", "c"])
PATHS = st.lists(SEGMENTS, max_size=4).map(lambda segments: "/" + "/".join(segments))
METHODS = st.frozensets(st.sampled_from(["GET", "POST"]), max_size=2)
ROUTES = st.lists(
    st.builds(Route, st.sampled_from(HOSTS), PATHS, st.sampled_from(["p0", "p1", "p2", "p3", "p4"]), METHODS),
    max_size=12,
)


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
    assert found == brute_force(routes, host, path, method)


def test_prefixes_match_whole_segments() -> None:
    table = RouteTable([Route(None, "/cart", "cart"), Route(None, "/", "web")])
    assert table.find(b"", b"/cart", b"GET") == "cart"
    assert table.find(b"", b"/cart/1", b"GET") == "cart"
    assert table.find(b"", b"/carts", b"GET") == "web"


def test_a_path_of_many_slashes_is_split_no_further_than_needed() -> None:
    table = RouteTable([Route(None, "/a/b", "web")])
    assert table.find(b"", b"/a/b" + b"/" * 100_000, b"GET") == "web"
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


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/a/b?x=/../y", b"/a/b"),
        (b"/a/../b", b"/b"),
        (b"/a/%2e%2E/b", b"/b"),
        (b"/../../a", b"/a"),
        (b"/a/.", b"/a/"),
        (b"/a/b/..", b"/a/"),
        (b"/..", b"/"),
        (b"/a/./b", b"/a/b"),
        (b"/%63art/%2f", b"/cart/%2F"),
        (b"/a//b", b"/a//b"),
        (b"/.hidden/...", b"/.hidden/..."),
        (b"/100%", b"/100%"),
        (b"*", b"*"),
    ],
)
def test_paths(target: bytes, expected: bytes) -> None:
    assert normalise_path(target) == expected


@given(
    st.lists(st.sampled_from([b"/", b".", b"..", b"a", b"%2e", b"%2F", b"%", b"%41"])).map(
        lambda p: b"/" + b"".join(p)
    )
)
def test_no_dot_segment_survives_and_once_is_enough(target: bytes) -> None:
    path = normalise_path(target)
    assert path.startswith(b"/")
    assert not {b".", b".."} & set(path.split(b"/"))
    if b"%" not in path:
        assert normalise_path(path) == path
