"""Which pool serves the name that a TLS client asks for."""

from __future__ import annotations

import pytest

from edge.stream.server_names import ServerNames

NAMES = {
    "mail.example.com": "mail",
    "*.example.com": "web",
    "*.deep.example.com": "deep",
    "example.org": "org",
}


@pytest.mark.parametrize(
    ("name", "pool"),
    [
        ("mail.example.com", "mail"),
        ("www.example.com", "web"),
        ("a.b.example.com", "web"),
        ("x.deep.example.com", "deep"),
        ("deep.example.com", "web"),
        ("x.mail.example.com", "web"),
        ("example.org", "org"),
        ("example.com", "rest"),
        ("www.example.org", "rest"),
        ("com", "rest"),
        ("", "rest"),
        (None, "rest"),
    ],
)
def test_the_name_itself_comes_first_then_the_closest_wildcard(name: str | None, pool: str) -> None:
    assert ServerNames(NAMES, "rest").pool(name) == pool


@pytest.mark.parametrize("name", ["example.com", "www.example.net", None])
def test_without_a_pool_for_all_others_they_go_nowhere(name: str | None) -> None:
    assert ServerNames(NAMES, None).pool(name) is None
