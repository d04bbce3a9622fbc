"""What users write of listeners that pass on what comes, and what they are told when it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from fleet_file import errors, warnings
from test_config_edge_settings import PAIR, POOL, fleet_of, listening, with_edge

from gslb.config.declaration import declaration
from gslb.fleet import Listener, ListenerKind, SocketAddress, StreamTimeouts

DATABASE = SocketAddress("0.0.0.0", 5432)


@pytest.mark.parametrize(
    ("written", "listener"),
    [
        (
            '{address: "0.0.0.0:5432", kind: tcp, pool: web}',
            Listener(DATABASE, kind=ListenerKind.TCP, pool="web"),
        ),
        (
            '{address: "0.0.0.0:5432", kind: tcp, pool: web, timeouts: {connect: 1s, idle: 5m}}',
            Listener(DATABASE, kind=ListenerKind.TCP, pool="web", timeouts=StreamTimeouts(1.0, 300.0)),
        ),
        (
            '{address: "0.0.0.0:5432", kind: tcp, server_names: {"*.A.Example": web, mail.b.example.: web}}',
            Listener(
                DATABASE,
                kind=ListenerKind.TCP,
                server_names={"*.a.example": "web", "mail.b.example": "web"},
            ),
        ),
        (
            '{address: "0.0.0.0:5432", kind: tcp, pool: web, tls: true, proxy_protocol: true}',
            Listener(DATABASE, tls=True, proxy_protocol=True, kind=ListenerKind.TCP, pool="web"),
        ),
        (
            '{address: "0.0.0.0:5432", kind: udp, pool: web, idle: 5s, sessions: 100}',
            Listener(DATABASE, kind=ListenerKind.UDP, pool="web", idle=5.0, sessions=100),
        ),
    ],
)
def test_a_listener_may_pass_on_what_comes(tmp_path: Path, written: str, listener: Listener) -> None:
    text = listening(written, PAIR, "trusted_proxies: 10.0.0.0/8")
    (got,) = fleet_of(tmp_path, text).regions["east"].edges[0].listen
    assert got == listener
    assert isinstance(got.server_names, Mapping)


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ('{address: "0.0.0.0:1", kind: tcp}', "is of kind tcp, and leads nowhere; say `pool: NAME`, or `ser"),
        ('{address: "0.0.0.0:1", kind: udp}', "is of kind udp, and leads nowhere; say `pool: NAME`"),
        ('{address: "0.0.0.0:1", kind: sctp, pool: web}', "kind: 'sctp' is not one of the choices; choices:"),
        (
            '{address: "0.0.0.0:1", pool: web}',
            "has `pool`, which listeners of kind http do not have; say `kind",
        ),
        (
            '{address: "0.0.0.0:1", kind: udp, pool: web, tls: true}',
            "has `tls`, which listeners of kind udp do not have; remove `tls`, or change `kind`",
        ),
        (
            '{address: "0.0.0.0:1", kind: tcp, pool: web, redirect: true}',
            "has `redirect`, which listeners of kind tcp do not have; only HTTP can tell clients to go",
        ),
        (
            '{address: "0.0.0.0:1", kind: udp, pool: web, proxy_protocol: true}',
            "has `proxy_protocol`, which listeners of kind udp do not have",
        ),
        (
            '{address: "0.0.0.0:1", kind: udp, pool: web, timeouts: {idle: 1s}}',
            "has `timeouts`, which listeners of kind udp do not have; write `idle: 30s` alone",
        ),
        (
            '{address: "0.0.0.0:1", kind: tcp, pool: web, idle: 1s}',
            "has `idle`, which listeners of kind tcp do not have; write `timeouts: {idle: 1h}`",
        ),
        (
            '{address: "0.0.0.0:1", kind: tcp, pool: webb}',
            "pool: there is no pool 'webb'; did you mean 'web'?",
        ),
        (
            '{address: "0.0.0.0:1", kind: tcp, server_names: {a.example: webb}}',
            "server_names.a.example: there is no pool 'webb'; did you mean 'web'?",
        ),
        (
            '{address: "0.0.0.0:1", kind: tcp, server_names: {"a.*.example": web}}',
            "'a.*.example' has a wildcard inside; only the first label may be `*`",
        ),
        (
            '{address: "0.0.0.0:1", kind: tcp, pool: web, tls: true}',
            "tls: has TLS, and there is no certificate",
        ),
        (
            '{address: "0.0.0.0:1", kind: tcp, pool: web, proxy_protocol: true}',
            "proxy_protocol: trusts PROXY headers, and those of nobody",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(tmp_path: Path, written: str, complaint: str) -> None:
    (problem,) = errors(tmp_path, listening(written))
    line = 1 + listening(written).splitlines().index(
        next(each for each in listening(written).splitlines() if written in each)
    )
    assert problem.startswith(f"{line}:")
    assert complaint in problem


@pytest.mark.parametrize("option", ["tls: true", "proxy_protocol: 2"])
def test_datagrams_go_to_no_pool_that_wants_connections(tmp_path: Path, option: str) -> None:
    text = listening('{address: "0.0.0.0:1", kind: udp, pool: web}')
    (problem,) = errors(tmp_path, text.replace(POOL, f"web: {{check: quick, {option}}}"))
    name = option.partition(":")[0]
    assert f"the pool web has `{name}`, and datagrams cannot; remove it, or name a pool" in problem


def test_tcp_and_udp_have_ports_of_their_own(tmp_path: Path) -> None:
    both = (
        '[{address: "0.0.0.0:53", kind: tcp, pool: web}, {address: "0.0.0.0:53", kind: udp, pool: web}, '
        '"0.0.0.0:80"]'
    )
    fleet = fleet_of(tmp_path, listening(both))
    assert [each.label for each in fleet.regions["east"].edges[0].listen] == [
        "tcp 0.0.0.0:53",
        "udp 0.0.0.0:53",
        "0.0.0.0:80",
    ]
    twice = '[{address: "0.0.0.0:53", kind: udp, pool: web}, {address: "127.0.0.1:53", kind: udp, pool: web}]'
    (problem,) = errors(tmp_path, listening(twice))
    assert "'127.0.0.1:53' is taken by '0.0.0.0:53'" in problem
    with_dns = '{address: "127.0.0.1:5300", kind: udp, pool: web}'
    assert any("listens on '127.0.0.1:5300' too" in each for each in warnings(tmp_path, listening(with_dns)))


def test_pools_that_listeners_lead_to_are_not_idle(tmp_path: Path) -> None:
    text = listening('{address: "0.0.0.0:1", kind: tcp, pool: db}')
    text = text.replace("servers: {web: [10.0.0.1:80]}", "servers: {web: [10.0.0.1:80], db: [10.0.0.1:1]}")
    text = text.replace(f"  {POOL}", f"  {POOL}\n  db: {{check: quick}}")
    assert not any("no route leads" in each or "no servers" in each for each in warnings(tmp_path, text))


@pytest.mark.parametrize(
    ("pool", "warning"),
    [
        (
            "db: {check: quick, tls: {verify: true}}",
            "what is TLS already is encrypted once more for the pool db",
        ),
        (
            "db: {check: quick, method: ip_hash, key: path}",
            "the pool db has a `key`, and only requests of HTTP have it",
        ),
        (
            "db: {check: quick}",
            "the pool db has no servers in the region east; whatever comes for it is dropped",
        ),
    ],
)
def test_what_a_pool_cannot_do_for_connections_is_told(tmp_path: Path, pool: str, warning: str) -> None:
    text = listening('{address: "0.0.0.0:1", kind: tcp, server_names: {a.example: db}}')
    told = warnings(tmp_path, text.replace(f"  {POOL}", f"  {POOL}\n  {pool}"))
    assert any(warning in each for each in told)


def test_what_is_spoken_behind_a_listener_is_not_the_checks_business(tmp_path: Path) -> None:
    """By default edges are probed by HTTP, at their port: it may well be passed on to who speaks it."""
    text = listening('{address: "0.0.0.0:80", kind: tcp, pool: web}', PAIR).replace(
        "    check: quick\n", "", 1
    )
    told = [each for each in warnings(tmp_path, text) if "probe" in each or "check speaks" in each]
    assert told == []


def test_the_declaration_tells_all_of_a_listener(tmp_path: Path) -> None:
    text = listening('{address: "0.0.0.0:1", kind: tcp, pool: web, server_names: {a.example: web}}')
    changed = text.replace("a.example: web", "b.example: web")
    one, other = (declaration(fleet_of(tmp_path, each)) for each in (text, changed))
    assert one != other


def test_other_settings_of_an_edge_do_not_mind(tmp_path: Path) -> None:
    text = with_edge("idle_timeout: 5s", text=listening('{address: "0.0.0.0:1", kind: udp, pool: web}'))
    assert fleet_of(tmp_path, text).edge.idle_timeout == 5.0
