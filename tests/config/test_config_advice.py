"""What is legal but unwise is warned of, each with its exact line; and what is wise is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_file import GOOD, broken, warnings

ADMIN = "calls that change state need the token GSLB_ADMIN_TOKEN; better keep this on 127.0.0.1"
SERVICE = "www.shop.example: {policy: nearest}"
CASES = [
    (
        'redis: {url: "redis://127.0.0.1:6379/0"}\n',
        "redis: {}\n",
        "1:1: redis: without a URL of Redis every process stands alone: it knows only what it sees itself; "
        "set redis.url unless there is one process of each kind",
    ),
    (
        '/0"}',
        '/0", lease: 2s}',
        "1:49: redis.lease: observations may lapse between two looks; make the lease three times as long as "
        "poll, at least",
    ),
    (
        "interval: 1s, timeout: 500ms",
        "interval: 1s, timeout: 3s",
        "15:45: checks.quick.timeout: the timeout (3 s) is longer than the interval (1 s); a slow target is "
        "then probed less often than you say",
    ),
    (
        "interval: 1s",
        "fall: 1",
        "15:28: checks.quick.fall: a single lost packet makes a target DOWN; 2 or 3 failures in a row are a "
        "better sign",
    ),
    (
        'ns1: {listen: ["127.0.0.1:5300"]}',
        'ns1: {admin: "0.0.0.0:8053"}',
        "6:18: dns.nodes.ns1.admin: '0.0.0.0:8053' can be reached from other machines; " + ADMIN,
    ),
    (
        "edges: [{addresses: [192.0.2.1]}]",
        'edges: [{addresses: [192.0.2.1], admin: "192.0.2.1:8054"}]',
        "20:45: regions.east.edges[0].admin: '192.0.2.1:8054' can be reached from other machines; " + ADMIN,
    ),
    (
        '"127.0.0.1:5300"',
        '"127.0.0.1:0"',
        "6:20: dns.nodes.ns1.listen[0]: port 0 is another port at every start; name a port, except in tests",
    ),
    (
        'ns1: {listen: ["127.0.0.1:5300"]}',
        'ns1: {listen: ["127.0.0.1:5300"]}\n    ns2: {listen: ["127.0.0.1:5300"]}',
        "7:20: dns.nodes.ns2.listen[0]: DNS node ns1 listens on '127.0.0.1:5300' too; this works only where "
        "the two run on different machines",
    ),
    (
        "addresses: [192.0.2.1]",
        "addresses: [192.0.2.2], listen: ['10.0.0.1:80']",
        "24:26: regions.west.edges[0].addresses[0]: '192.0.2.2' is an address of the region east too; an "
        "answer with it does not tell clients which of the two to go to",
    ),
    (
        SERVICE,
        "www.shop.example: {policy: nearest, regions: [east]}",
        "27:3: services.www.shop.example: only east serves it: when that is down, so is the service; add a "
        "second region to have somewhere to go",
    ),
    (
        SERVICE,
        "www.shop.example: {policy: nearest, regions: [east]}",
        "22:3: regions.west: no service is served here; add it to a service's `regions`",
    ),
    (
        SERVICE,
        "www.shop.example: {policy: {failover: {order: [west]}}}",
        "27:30: services.www.shop.example.policy: failover does not order east; add them to the order, or "
        "say `regions:` without them",
    ),
    (
        SERVICE,
        "www.shop.example: {policy: {failover: {order: [west, east]}}, regions: [east]}",
        "27:50: services.www.shop.example.policy.failover.order[0]: 'west' is not among the service's "
        "regions; add it to the service's `regions`, or remove it here",
    ),
    (
        SERVICE,
        "www.shop.example: {policy: [{failover: {order: [west, east]}}, nearest]}",
        "27:66: services.www.shop.example.policy[1]: nearest never acts: failover before it leaves no two "
        "regions equal; remove nearest, or put it before failover",
    ),
    (
        SERVICE,
        "www.shop.example: {policy: [nearest, {weighted: {weights: {east: 1, west: 1}}}]}",
        "27:40: services.www.shop.example.policy[1]: weighted never acts: nearest before it leaves no two "
        "regions equal; remove weighted, or put it before nearest",
    ),
    (
        "servers: {web: [10.0.0.2:80]}",
        "description: ''",
        "31:21: routes[0].pool: the pool web has no servers in the region west; requests for it fail there "
        "with 503",
    ),
    (
        "routes:\n  - {path: /, pool: web}\n",
        "",
        "29:3: pools.web: no route leads to this pool; add one under `routes:`, or remove the pool",
    ),
    (
        'dns:\n  nodes:\n    ns1: {listen: ["127.0.0.1:5300"]}\n',
        "",
        "23:1: services: no DNS node is declared, so nothing answers for these; "
        "declare one under `dns: nodes:`",
    ),
]


def test_a_good_file_has_no_warnings(tmp_path: Path) -> None:
    assert warnings(tmp_path, GOOD) == []


@pytest.mark.parametrize(("old", "new", "expected"), CASES, ids=[case[2][:50] for case in CASES])
def test_unwise(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert expected in warnings(tmp_path, broken(old, new))


@pytest.mark.parametrize(
    "policy",
    [
        "[{failover: {order: [west]}}, nearest]",
        "[{geo: {rules: [{country: IS, regions: [west]}]}}, nearest]",
        "[{weighted: {weights: {east: 0, west: 0}}}, nearest]",
        "{weighted: {weights: {east: 1}}}",
    ],
)
def test_wise_policies(tmp_path: Path, policy: str) -> None:
    assert warnings(tmp_path, broken("policy: nearest", f"policy: {policy}")) == []


def test_nearest_may_be_followed_where_clients_can_have_no_place(tmp_path: Path) -> None:
    policy = "policy: [nearest, {failover: {order: [east, west]}}]"
    text = broken("policy: nearest", policy).replace(
        "  default: {country: US, latitude: 39.04, longitude: -77.49}\n", "  default: {}\n"
    )
    assert warnings(tmp_path, text) == []


def test_a_file_that_balances_nothing(tmp_path: Path) -> None:
    text = "redis: {url: redis://h}\nregions: {a: {coordinates: [0, 0], edges: [{addresses: 192.0.2.1}]}}\n"
    assert warnings(tmp_path, text) == [
        "1:1: there is neither a service nor a route, so nothing is balanced; declare `services:`"
    ]
