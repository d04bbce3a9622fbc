"""What is shown of how pools and routes bear failure and load: every change, and never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_file import GOOD, broken, checked

from edge.changes import lines
from gslb.config.declaration import declaration
from gslb.config.difference import difference
from gslb.fleet import Fleet

POOL, ROUTE = "web: {check: quick}", "{path: /, pool: web}"
SECRET = "sesame-and-SEKRIT"
OTHER = "another-SEKRIT-thing"


def fleet_of(directory: Path, text: str) -> Fleet:
    fleet = checked(directory, text).fleet
    assert fleet is not None
    return fleet


def told(before: Fleet, after: Fleet) -> tuple[list[str], list[str]]:
    """What changes, as operators see it before, and as a running edge's log says it."""
    edges = [fleet.regions["east"].edges[0] for fleet in (before, after)]
    return (
        difference(declaration(before), declaration(after)).lines(),
        list(lines(before, edges[0], after, edges[1])),
    )


@pytest.mark.parametrize(
    ("said", "expected", "logged"),
    [
        ("panic: 0.5", "panic: 0 → 0.5", "panic"),
        ("slow_start: 30s", "slow_start: {time: 0, least: 0.1} → {time: 30, least: 0.1}", "slow_start.time"),
        ("spill_over: on_failure", "spill_over: off → on_failure", "spill_over"),
        (
            "concurrency: {most: 5}",
            "concurrency: {most: none, adaptive: no, least: 10} → {most: 5, adaptive: no, least: 10}",
            "concurrency.most",
        ),
        (
            f"sticky: {{cookie: at, secret: {SECRET}}}",
            "sticky: none → {cookie: at, secret: ***, max_age: none, same_site: lax, secure: none}",
            "sticky",
        ),
    ],
)
def test_a_change_of_a_pool(tmp_path: Path, said: str, expected: str, logged: str) -> None:
    after = fleet_of(tmp_path, broken(POOL, f"web: {{check: quick, {said}}}"))
    shown, log = told(fleet_of(tmp_path, GOOD), after)
    assert shown == [f"~ pool web: {expected}"]
    assert log == [f"~ pool web: {logged}"]


ROUTES = ["rate_limit: {requests: 5}", "priority: high", "hedge: {after: p99}", "mirror: web"]


@pytest.mark.parametrize("said", ROUTES)
def test_a_change_of_a_route_is_shown(tmp_path: Path, said: str) -> None:
    after = fleet_of(tmp_path, broken(ROUTE, f"{{path: /, pool: web, {said}}}"))
    (line,) = told(fleet_of(tmp_path, GOOD), after)[0]
    assert line.startswith(f"~ route */: {said.partition(':')[0]}")


@pytest.mark.parametrize("said", ROUTES)
def test_a_change_of_a_route_is_logged(tmp_path: Path, said: str) -> None:
    after = fleet_of(tmp_path, broken(ROUTE, f"{{path: /, pool: web, {said}}}"))
    (line,) = told(fleet_of(tmp_path, GOOD), after)[1]
    assert line.startswith(f"~ route */: {said.partition(':')[0]}")


# The secret.


def test_a_secret_is_in_nothing_that_is_made_of_the_fleet(tmp_path: Path) -> None:
    before, after = (
        fleet_of(tmp_path, broken(POOL, f"web: {{check: quick, sticky: {{cookie: at, secret: {secret}}}}}"))
        for secret in (SECRET, OTHER)
    )
    shown, log = told(before, after)
    assert log == ["~ pool web: sticky.secret"]
    for text in (*shown, *log, repr(after), str(after.pools["web"].sticky), str(declaration(after))):
        assert "SEKRIT" not in text


@pytest.mark.parametrize(
    "said",
    [
        "{cookie: at, secret: SEKRIT}",
        f"[{SECRET}]",
        f"{{cookie: at, secret: [{SECRET}]}}",
        f"{{cookie: at, secret: {{a: {SECRET}}}}}",
        f"{{cookie: at, secrt: {SECRET}}}",
        f"{{cookie: at, secret: {SECRET}, same_site: none, secure: false}}",
    ],
)
def test_an_error_does_not_show_the_secret(tmp_path: Path, said: str) -> None:
    problems = checked(tmp_path, broken(POOL, f"web: {{sticky: {said}}}")).errors
    assert problems
    assert "SEKRIT" not in "".join(map(str, problems))


@pytest.mark.parametrize(
    "said",
    [
        SECRET,
        f"{{cookie: '{SECRET}=', secret: at}}",
        f"{{cookie: at, {SECRET}: secret}}",
        f"{{cookie: at, secret: at, max_age: {SECRET}}}",
        f"{{cookie: at, secret: at, same_site: {SECRET}}}",
    ],
)
def test_nor_does_one_where_it_is_in_the_wrong_place(tmp_path: Path, said: str) -> None:
    problems = checked(tmp_path, broken(POOL, f"web: {{sticky: {said}}}")).errors
    assert problems
    assert "SEKRIT" not in "".join(map(str, problems))
