"""How pools and routes bear failure and load, as regions.yaml says it."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fleet_file import GOOD, broken, checked, errors

from gslb.balancing import BalancingKey, KeyKind
from gslb.config.document import parse
from gslb.config.schema import json_schema
from gslb.fleet import (
    ConcurrencyLimit,
    Ejection,
    Fleet,
    Hedge,
    Mirror,
    Pool,
    Priority,
    RateLimit,
    Route,
    SameSite,
    Secret,
    ServerMode,
    SlowStart,
    SpillOver,
    Sticky,
)

POOL, ROUTE, SERVER = "web: {check: quick}", "{path: /, pool: web}", "[10.0.0.1:80]"
SECRET = "sesame-and-SEKRIT"
STICKY = f"sticky: {{cookie: at, secret: {SECRET}"
TIMES = "write 500ms, 1s, 2m, 1h or a number of seconds"
KEYS = "write address, path, all, {header: NAME}, {cookie: NAME} or {query: NAME}"
NO_SECRET = (
    "is no secret of 16 characters or more; make one with `openssl rand -hex 32`; best from the "
    "environment: ${NAME}"
)
_MAPPING = "must be a mapping, and {} is not; write `key: value` lines"


def fleet_of(directory: Path, text: str, environment: dict[str, str] | None = None) -> Fleet:
    result = checked(directory, text, environment)
    assert result.errors == ()
    assert result.fleet is not None
    data = parse(text, "regions.yaml", environment or {}).data
    assert list(jsonschema.Draft202012Validator(json_schema()).iter_errors(data)) == []
    for declared in (*result.fleet.pools.values(), *result.fleet.routes):
        assert pickle.loads(pickle.dumps(declared)) == declared  # as workers get it
    return result.fleet


def pool(directory: Path, said: str) -> Pool:
    return fleet_of(directory, broken(POOL, f"web: {{check: quick, {said}}}")).pools["web"]


def route(directory: Path, said: str) -> Route:
    (made,) = fleet_of(directory, broken(ROUTE, f"{{path: /, pool: web, {said}}}")).routes
    return made


# What is said arrives.


def test_who_says_nothing_gets_the_defaults(tmp_path: Path) -> None:
    fleet = fleet_of(tmp_path, GOOD)
    bare = Pool("web", fleet.pools["web"].method, fleet.pools["web"].check)
    assert fleet.pools["web"] == bare
    assert fleet.routes == (Route(None, "/", "web"),)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("{}", Ejection()),
        ("null", Ejection()),
        ("{errors: null}", Ejection(errors=None)),
        ("{errors: 2, server_errors: 3}", Ejection(errors=2, server_errors=3)),
        (
            "{success_rate: 1.9, interval: 1m, requests: 50}",
            Ejection(success_rate=1.9, interval=60.0, requests=50),
        ),
        ("{time: 500ms, most_time: 500ms, share: 1}", Ejection(time=0.5, most_time=0.5, share=1.0)),
    ],
)
def test_ejection(tmp_path: Path, said: str, expected: Ejection) -> None:
    assert pool(tmp_path, f"ejection: {said}").ejection == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("panic: 0.5", {"panic": 0.5}),
        ("slow_start: 30s", {"slow_start": SlowStart(30.0)}),
        ("slow_start: 30", {"slow_start": SlowStart(30.0)}),
        ("slow_start: {time: 1m, least: 0.25}", {"slow_start": SlowStart(60.0, 0.25)}),
        ("slow_start: null", {"slow_start": SlowStart()}),
        ("concurrency: {most: 5}", {"concurrency": ConcurrencyLimit(5)}),
        ("concurrency: {adaptive: true}", {"concurrency": ConcurrencyLimit(None, True)}),
        (
            "concurrency: {most: 50, adaptive: true, least: 5}",
            {"concurrency": ConcurrencyLimit(50, True, 5)},
        ),
        # What `least` would be below is no bound at all.
        ("concurrency: {most: 5, least: 6}", {"concurrency": ConcurrencyLimit(5, False, 6)}),
        *((f"spill_over: {mode}", {"spill_over": mode}) for mode in SpillOver),
    ],
)
def test_panic_slow_start_concurrency_and_spill_over(
    tmp_path: Path, said: str, expected: dict[str, Any]
) -> None:
    bare = fleet_of(tmp_path, GOOD).pools["web"]
    assert pool(tmp_path, said) == replace(bare, **expected)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", Sticky("at", Secret(SECRET))),
        (
            ", max_age: 1h, same_site: strict, secure: true",
            Sticky("at", Secret(SECRET), 3600, SameSite.STRICT, True),
        ),
        (", same_site: none", Sticky("at", Secret(SECRET), same_site=SameSite.NONE)),
        (", secure: false", Sticky("at", Secret(SECRET), secure=False)),
    ],
)
def test_sticky(tmp_path: Path, said: str, expected: Sticky) -> None:
    assert pool(tmp_path, f"{STICKY}{said}}}").sticky == expected


@pytest.mark.parametrize("secret", [SECRET, "1234567890123456"])
def test_a_secret_of_the_environment_is_text_whatever_it_looks_like(tmp_path: Path, secret: str) -> None:
    text = broken(POOL, "web: {check: quick, sticky: {cookie: at, secret: '${AT}'}}")
    sticky = fleet_of(tmp_path, text, {"AT": secret}).pools["web"].sticky
    assert sticky is not None
    assert sticky.secret.reveal() == secret


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("requests: 5", RateLimit(5, 1.0, 5)),
        ("requests: 100, per: 1m, burst: 10", RateLimit(100, 60.0, 10)),
        ("requests: 5, shared: true", RateLimit(5, 1.0, 5, shared=True)),
        ("requests: 5, key: address", RateLimit(5, 1.0, 5)),
        ("requests: 5, key: all", RateLimit(5, 1.0, 5, None)),
        ("requests: 5, key: path", RateLimit(5, 1.0, 5, BalancingKey(KeyKind.PATH))),
        (
            "requests: 5, key: {header: X-Key}",
            RateLimit(5, 1.0, 5, BalancingKey(KeyKind.HEADER, "x-key")),
        ),
        ("requests: 5, key: {cookie: Id}", RateLimit(5, 1.0, 5, BalancingKey(KeyKind.COOKIE, "Id"))),
        ("requests: 5, key: {query: id}", RateLimit(5, 1.0, 5, BalancingKey(KeyKind.QUERY, "id"))),
    ],
)
def test_rate_limits(tmp_path: Path, said: str, expected: RateLimit) -> None:
    assert route(tmp_path, f"rate_limit: {{{said}}}").rate_limit == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        *((f"priority: {each}", {"priority": each}) for each in Priority),
        ("hedge: {}", {"hedge": Hedge()}),
        ("hedge: {after: p99.9, share: 0.1}", {"hedge": Hedge(percentile=0.999, share=0.1)}),
        ("hedge: {after: 50ms}", {"hedge": Hedge(0.05)}),
        ("hedge: {after: 2}", {"hedge": Hedge(2.0)}),
        ("hedge: null", {}),
        ("mirror: web", {"mirror": Mirror("web")}),
        ("mirror: {pool: web, share: 0.01}", {"mirror": Mirror("web", 0.01)}),
    ],
)
def test_priorities_second_tries_and_copies(tmp_path: Path, said: str, expected: dict[str, Any]) -> None:
    made, wanted = route(tmp_path, said), replace(Route(None, "/", "web"), **expected)
    if made.hedge is not None and wanted.hedge is not None:
        assert made.hedge.percentile == pytest.approx(wanted.hedge.percentile)
        wanted = replace(wanted, hedge=replace(wanted.hedge, percentile=made.hedge.percentile))
    assert made == wanted


def test_an_operators_word_on_a_server(tmp_path: Path) -> None:
    for mode in ServerMode:
        fleet = fleet_of(tmp_path, broken(SERVER, f"[{{address: 10.0.0.1:80, mode: {mode}}}]"))
        assert [server.mode for server in fleet.regions["east"].servers["web"]] == [mode]


# Mistakes have a place and a remedy.


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("ejection: {errors: 0}", "28: ejection.errors: 0 is too small; the least is 1"),
        ("ejection: {errors: 1.5}", "28: ejection.errors: 1.5 is not a whole number"),
        ("ejection: {error: 5}", "20: ejection.error: unknown key; did you mean 'errors'?"),
        (
            "ejection: {success_rate: 0.4}",
            "34: ejection.success_rate: 0.4 is too small; the least is 0.5",
        ),
        ("ejection: {interval: 0s}", f"30: ejection.interval: '0s' is no time at all; {TIMES}"),
        ("ejection: {requests: 0}", "30: ejection.requests: 0 is too small; the least is 1"),
        (
            "ejection: {time: 10s, most_time: 5s}",
            "19: ejection: most_time is less than time; make it as long, or longer",
        ),
        ("ejection: {share: 1.1}", "27: ejection.share: 1.1 is too large; the most is 1"),
        ("ejection: 5", f"19: ejection: {_MAPPING.format(5)}"),
        ("panic: 1.5", "16: panic: 1.5 is too large; the most is 1"),
        ("panic: 50%", "16: panic: '50%' is not a number"),
        ("slow_start: x", f"21: slow_start: 'x' is not a duration; {TIMES}"),
        (
            "slow_start: {least: 0.5}",
            "9: slow_start: `time` is missing; add `time`: until it has all of its weight",
        ),
        (
            "slow_start: {time: 30s, least: 0}",
            "40: slow_start.least: 0.0 is too small; it must be more than 0",
        ),
        ("sticky: {cookie: at, secret: short}", f"38: sticky.secret: {NO_SECRET}"),
        ("sticky: {cookie: at, secret: 1234567890123456}", f"38: sticky.secret: {NO_SECRET}"),
        (f"sticky: {{secret: {SECRET}}}", "9: sticky: `cookie` is missing; add `cookie`: its name"),
        (
            f"sticky: {{cookie: 'a b', secret: {SECRET}}}",
            "26: sticky.cookie: the value is not a name; write letters, digits and hyphens, such as X-User",
        ),
        (
            f"{STICKY}, same_site: all}}",
            "68: sticky.same_site: the value is not one of the choices; choices: lax, strict, none",
        ),
        (
            f"{STICKY}, same_site: none, secure: false}}",
            "17: sticky: is for all sites, and so for HTTPS only; remove `secure: false`",
        ),
        (f"{STICKY}, secure: maybe}}", "65: sticky.secure: the value is neither true nor false"),
        ("concurrency: {most: 0}", "29: concurrency.most: 0 is too small; the least is 1"),
        (
            "concurrency: {most: 5, adaptive: true}",
            "22: concurrency: most is less than least; least <= most",
        ),
        ("concurrency: 5", f"22: concurrency: {_MAPPING.format(5)}"),
        (
            "spill_over: onfailure",
            "21: spill_over: 'onfailure' is not one of the choices; did you mean 'on_failure'?",
        ),
        (
            "spill_over: true",
            "21: spill_over: true is not one of the choices; choices: off, on_failure, on_saturation",
        ),
    ],
)
def test_a_mistake_in_a_pool(tmp_path: Path, said: str, expected: str) -> None:
    column, _, message = expected.partition(": ")
    assert errors(tmp_path, broken(POOL, f"web: {{{said}}}")) == [f"29:{column}: pools.web.{message}"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("rate_limit: {requests: 0}", "49: rate_limit.requests: 0 is too small; the least is 1"),
        (
            "rate_limit: {per: 1s}",
            "26: rate_limit: `requests` is missing; add `requests`: so many, on average, in the time `per`",
        ),
        ("rate_limit: 5", f"38: rate_limit: {_MAPPING.format(5)}"),
        ("rate_limit: {requests: 5, per: 0s}", f"57: rate_limit.per: '0s' is no time at all; {TIMES}"),
        ("rate_limit: {requests: 5, burst: 0}", "59: rate_limit.burst: 0 is too small; the least is 1"),
        ("rate_limit: {requests: 5, key: host}", f"57: rate_limit.key: 'host' is not a key; {KEYS}"),
        (
            "rate_limit: {requests: 5, key: {header: a, cookie: b}}",
            f"57: rate_limit.key: a mapping is not a key; {KEYS}",
        ),
        ("rate_limit: {requests: 5, key: null}", f"57: rate_limit.key: nothing is not a key; {KEYS}"),
        ("rate_limit: {requests: 5, shared: 2}", "60: rate_limit.shared: 2 is neither true nor false"),
        ("priority: hihg", "36: priority: 'hihg' is not one of the choices; did you mean 'high'?"),
        (
            "hedge: {after: p0}",
            "41: hedge.after: 'p0' is not a percentile; write p50 to p99.9, or a time such as 50ms",
        ),
        ("hedge: {after: x}", f"41: hedge.after: 'x' is not a duration; {TIMES}"),
        ("hedge: {share: 0}", "41: hedge.share: 0.0 is too small; it must be more than 0"),
        ("mirror: nobody", "34: mirror: there is no pool 'nobody'; pools: web"),
        ("mirror: {pool: nobody}", "41: mirror.pool: there is no pool 'nobody'; pools: web"),
        ("mirror: {share: 0.5}", "26: mirror: `pool` is missing; add `pool`: where the copies go"),
        ("mirror: {pool: web, share: 0}", "53: mirror.share: 0.0 is too small; it must be more than 0"),
    ],
)
def test_a_mistake_in_a_route(tmp_path: Path, said: str, expected: str) -> None:
    column, _, message = expected.partition(": ")
    text = broken(ROUTE, f"{{path: /, pool: web, {said}}}")
    assert errors(tmp_path, text) == [f"31:{column}: routes[0].{message}"]
