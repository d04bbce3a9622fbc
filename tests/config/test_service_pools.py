"""Which pools a service is judged by: those that its requests can go to."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_file import GOOD, checked

from gslb.config.service_pools import pools_of_services
from gslb.fleet import Route

WWW, API = "www.shop.example", "api.shop.example"


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([], set()),
        ([Route(None, "/", "web")], {"web"}),
        ([Route(API, "/", "api")], set()),
        ([Route(WWW, "/cart", "cart"), Route(None, "/", "web")], {"cart", "web"}),
        ([Route(WWW, "/cart", "cart"), Route(WWW, "/", "web")], {"cart", "web"}),
        ([Route(WWW, "/", "own"), Route(None, "/", "web")], {"own"}),
        ([Route(WWW, "/", "own", frozenset({"POST"})), Route(None, "/", "web")], {"own", "web"}),
        ([Route(None, "/", "web"), Route(None, "/images", "media")], {"web", "media"}),
    ],
)
def test_pools_of_a_service(routes: list[Route], expected: set[str]) -> None:
    assert pools_of_services([WWW], routes) == {WWW: expected}


def test_a_wildcard_has_the_pools_of_all_hosts_it_covers() -> None:
    names = ["*.shop.example", WWW]
    routes = [Route(WWW, "/", "web"), Route("a.shop.example", "/", "a"), Route("b.a.shop.example", "/", "b")]
    routes += [Route("a.other.example", "/", "other"), Route(None, "/health", "any")]
    assert pools_of_services(names, routes) == {"*.shop.example": {"a", "b", "any"}, WWW: {"web"}}


def test_a_fleet_knows_the_pools_of_its_services(tmp_path: Path) -> None:
    assert fleet_pools(tmp_path, GOOD) == {"web"}
    host = GOOD.replace("{path: /, pool: web}", "{host: WWW.shop.example., pool: web}")
    assert fleet_pools(tmp_path, host) == {"web"}
    assert fleet_pools(tmp_path, host.replace("WWW.", "api.")) == set()


def fleet_pools(directory: Path, text: str) -> frozenset[str]:
    fleet = checked(directory, text).fleet
    assert fleet is not None
    return fleet.services[WWW].pools
