"""How a pool divides its requests, and what its servers are like, as regions.yaml says it."""

from __future__ import annotations

import pickle
from pathlib import Path

import jsonschema
import pytest
from fleet_file import GOOD, broken, checked, errors, warnings

from gslb.balancing import (
    Balancing,
    BalancingKey,
    BalancingMethod,
    ConsistentHashOptions,
    KeyKind,
    MethodOptions,
    PowerOfTwoOptions,
    ThenOptions,
)
from gslb.config.declaration import declaration
from gslb.config.difference import difference
from gslb.config.document import parse
from gslb.config.schema import json_schema
from gslb.fleet import Fleet, Pool, Server, SocketAddress

POOL = "web: {check: quick}"
IP_HASH = Balancing(BalancingMethod.IP_HASH)


def fleet_of(directory: Path, text: str) -> Fleet:
    result = checked(directory, text)
    assert result.errors == ()
    assert result.fleet is not None
    data = parse(text, "regions.yaml", {}).data
    assert list(jsonschema.Draft202012Validator(json_schema()).iter_errors(data)) == []
    return result.fleet


def pool(directory: Path, said: str) -> Pool:
    return fleet_of(directory, broken(POOL, f"web: {{{said}}}")).pools["web"]


@pytest.mark.parametrize("name", [each for each in BalancingMethod if each is not BalancingMethod.THEN])
def test_every_method_may_be_named_alone_or_with_its_options(tmp_path: Path, name: BalancingMethod) -> None:
    alone, with_options = pool(tmp_path, f"method: {name}"), pool(tmp_path, f"method: {{name: {name}}}")
    assert alone.method.name is name
    assert alone == with_options


@pytest.mark.parametrize(
    ("said", "name", "options"),
    [
        ("consistent_hash, bound: 1.25", "consistent_hash", ConsistentHashOptions(bound=1.25)),
        ("consistent_hash", "consistent_hash", ConsistentHashOptions()),
        ("power_of_two, response_time: true", "power_of_two", PowerOfTwoOptions(response_time=True)),
        (
            "then, first: ip_hash, second: least_connections, bound: 1.5",
            "then",
            ThenOptions(first=IP_HASH, second=Balancing(BalancingMethod.LEAST_CONNECTIONS), bound=1.5),
        ),
        (
            "then, first: {name: consistent_hash, bound: 2}, "
            "second: {name: then, first: ip_hash, second: random}",
            "then",
            ThenOptions(
                first=Balancing(BalancingMethod.CONSISTENT_HASH, ConsistentHashOptions(bound=2)),
                second=Balancing(
                    BalancingMethod.THEN,
                    ThenOptions(first=IP_HASH, second=Balancing(BalancingMethod.RANDOM)),
                ),
            ),
        ),
    ],
)
def test_options_stand_beside_the_name(tmp_path: Path, said: str, name: str, options: MethodOptions) -> None:
    method = pool(tmp_path, f"method: {{name: {said}}}").method
    assert method == Balancing(BalancingMethod(name), options)
    assert pickle.loads(pickle.dumps(method)) == method  # as workers get it


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ("", BalancingKey()),
        ("key: address", BalancingKey()),
        ("key: path", BalancingKey(KeyKind.PATH)),
        ("key: {header: X-User}", BalancingKey(KeyKind.HEADER, "x-user")),
        ("key: {cookie: Cart}", BalancingKey(KeyKind.COOKIE, "Cart")),
        ("key: {query: 'id%5B%5D'}", BalancingKey(KeyKind.QUERY, "id%5B%5D")),
    ],
)
def test_keys(tmp_path: Path, said: str, key: BalancingKey) -> None:
    assert pool(tmp_path, f"method: ip_hash, {said}").key == key


def test_servers_may_be_backups_and_have_bounds_of_their_own(tmp_path: Path) -> None:
    said = "[10.0.0.1:80, {address: 10.0.0.9:80, backup: true, max_connections: 7}]"
    servers = fleet_of(tmp_path, broken("[10.0.0.1:80]", said)).regions["east"].servers["web"]
    assert servers == (
        Server("east", "web", SocketAddress("10.0.0.1", 80)),
        Server("east", "web", SocketAddress("10.0.0.9", 80), backup=True, max_connections=7),
    )


METHOD = "29:9: pools.web.method: "
FORMS = "write address, path, {header: NAME}, {cookie: NAME} or {query: NAME}"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "method: 5",
            "29:17: pools.web.method: 5 is not a method; write a name, such as round_robin, or {name: ...} "
            "with its options beside it",
        ),
        (
            "method: {name: hash}",
            "29:24: pools.web.method.name: there is no method 'hash'; did you mean 'ip_hash'?",
        ),
        ("method: {name: ip_hash, bound: 2}", "29:33: pools.web.method.bound: unknown key; keys here: name"),
        (
            "method: {name: consistent_hash, bound: 0.5}",
            "29:48: pools.web.method.bound: 0.5 is too small; the least is 1",
        ),
        (
            "method: {name: consistent_hash, bond: 2}",
            "29:41: pools.web.method.bond: unknown key; did you mean 'bound'?",
        ),
        ("key: host", f"29:14: pools.web.key: 'host' is not a key; {FORMS}"),
        ("key: {heder: a}", "29:15: pools.web.key.heder: unknown key; did you mean 'header'?"),
        (
            "key: {header: a, cookie: b}",
            f"29:14: pools.web.key: must name one thing that methods go by; {FORMS}",
        ),
        (
            "key: {header: 'X User'}",
            "29:23: pools.web.key.header: 'X User' is not a name; write letters, digits and hyphens, such as "
            "X-User",
        ),
    ],
)
def test_a_mistake_has_its_place_and_its_remedy(tmp_path: Path, said: str, expected: str) -> None:
    assert errors(tmp_path, broken(POOL, f"web: {{{said}}}")) == [expected]


def test_a_method_without_a_name_lists_them_all(tmp_path: Path) -> None:
    (error,) = errors(tmp_path, broken(POOL, "web: {method: {bound: 2}}"))
    assert error == METHOD + "`name` is missing; methods: " + ", ".join(BalancingMethod)


def test_all_mistakes_of_a_pool_are_told_at_once_however_deep_they_are(tmp_path: Path) -> None:
    second = "{name: power_of_two, bound: 1}"
    said = f"method: {{name: then, first: iphash, second: {second}, bound: x}}, key: {{}}, size: 1"
    assert errors(tmp_path, broken(POOL, f"web: {{{said}}}")) == [
        "29:37: pools.web.method.first: there is no method 'iphash'; did you mean 'ip_hash'?",
        "29:74: pools.web.method.second.bound: unknown key; keys here: response_time, name",
        "29:92: pools.web.method.bound: 'x' is not a number",
        f"29:101: pools.web.key: must name one thing that methods go by; {FORMS}",
        "29:105: pools.web.size: unknown key; keys here: method, key, check, connections, queue, tls, "
        "proxy_protocol, ejection, panic, slow_start, sticky, concurrency, ...",
    ]


def test_then_needs_its_two_methods(tmp_path: Path) -> None:
    assert [error.partition(";")[0] for error in errors(tmp_path, broken(POOL, "web: {method: then}"))] == [
        METHOD + "`first` is missing",
        METHOD + "`second` is missing",
    ]


def test_a_key_that_no_method_looks_at_is_warned_of(tmp_path: Path) -> None:
    assert warnings(tmp_path, broken(POOL, "web: {key: path}")) == [
        "29:14: pools.web.key: round_robin does not look at it; choose ip_hash or consistent_hash, or remove "
        "it"
    ]
    then = "{name: then, first: least_connections, second: ip_hash}"
    for method in ("ip_hash", "consistent_hash", then):
        assert warnings(tmp_path, broken(POOL, f"web: {{key: path, method: {method}}}")) == []


def test_the_first_available_without_a_bound_is_warned_of(tmp_path: Path) -> None:
    unbound = broken(POOL, "web: {method: first_available}")
    assert warnings(tmp_path, unbound) == [
        "29:17: pools.web.method: the first server takes everything, as nothing bounds it; say how many "
        "connections a server takes: `connections: {most: 100}`"
    ]
    assert warnings(tmp_path, broken(POOL, "web: {method: first_available, connections: {most: 9}}")) == []
    server = "[{address: 10.0.0.1:80, max_connections: 9}, 10.0.0.3:80]"
    assert warnings(tmp_path, unbound.replace("[10.0.0.1:80]", server).replace("[10.0.0.2:80]", server)) == []


def test_a_queue_has_a_meaning_where_a_server_has_a_bound_of_its_own(tmp_path: Path) -> None:
    queue = broken(POOL, "web: {queue: {size: 5}}")
    assert len(warnings(tmp_path, queue)) == 1
    bound = queue.replace("[10.0.0.1:80]", "[{address: 10.0.0.1:80, max_connections: 9}]")
    assert warnings(tmp_path, bound) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            POOL,
            "web: {check: quick, method: {name: consistent_hash, bound: 1.25}, key: {cookie: id}}",
            "~ pool web: method: round_robin → consistent_hash {bound: 1.25}; key: address → cookie id",
        ),
        (
            POOL,
            "web: {check: quick, method: {name: then, first: ip_hash, second: random}}",
            "~ pool web: method: round_robin → then {first: ip_hash, second: random, bound: none}",
        ),
        (
            "[10.0.0.2:80]",
            "[{address: 10.0.0.2:80, backup: true, max_connections: 5}]",
            "~ region west: servers.web: 10.0.0.2:80 weight 1 → "
            "10.0.0.2:80 weight 1 max_connections 5 backup",
        ),
    ],
)
def test_what_changes_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    before, after = fleet_of(tmp_path, GOOD), fleet_of(tmp_path, broken(old, new))
    assert difference(declaration(before), declaration(after)).lines() == [told]
