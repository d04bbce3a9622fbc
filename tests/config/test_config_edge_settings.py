"""What users write of listeners, pools, routes and the section `edge`, and what comes of it."""

from __future__ import annotations

from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path

import jsonschema
import pytest
from fleet_file import GOOD, broken, checked, errors, warnings

from gslb.config.document import parse
from gslb.config.edge_settings import AccessLogEntry, EdgeSection, TlsEntry
from gslb.config.entry import Entry
from gslb.config.proxying import (
    CertificateEntry,
    ConnectionsEntry,
    QueueEntry,
    RetriesEntry,
    RetryBudgetEntry,
    ServerTlsEntry,
    TimeoutsEntry,
)
from gslb.config.schema import json_schema
from gslb.config.sites import ListenerEntry
from gslb.fleet import (
    AccessLog,
    AccessLogFormat,
    Certificate,
    Connections,
    EdgeSettings,
    Fleet,
    Listener,
    QueueSettings,
    Retries,
    RetryBudget,
    ServerTls,
    SocketAddress,
    Timeouts,
    TlsSettings,
)

EDGES = "edges: [{addresses: [192.0.2.1]}]"
CHECK = "    check: quick\n    edges: [{addresses: [192.0.2.1]}]"
POOL = "web: {check: quick}"
ROUTE = "{path: /, pool: web}"
PAIR = "tls: {certificates: {chain: c.pem, key: k.pem}}"


def fleet_of(directory: Path, text: str) -> Fleet:
    result = checked(directory, text)
    assert result.errors == ()
    assert result.fleet is not None
    data = parse(text, "regions.yaml", {}).data
    assert list(jsonschema.Draft202012Validator(json_schema()).iter_errors(data)) == []
    return result.fleet


def with_edge(*lines: str, text: str = GOOD) -> str:
    """The good file with these lines in its section `edge`."""
    return text + "edge:\n" + "".join(f"  {line}\n" for line in lines)


def listening(written: str, *edge: str) -> str:
    text = broken(EDGES, f"edges: [{{addresses: [192.0.2.1], listen: {written}}}]")
    return with_edge(*edge, text=text) if edge else text


HTTP = Listener(SocketAddress("0.0.0.0", 80))
HTTPS = Listener(SocketAddress("0.0.0.0", 443), tls=True)


@pytest.mark.parametrize(
    ("written", "listeners"),
    [
        ('"0.0.0.0:80"', (HTTP,)),
        ('{address: "0.0.0.0:80"}', (HTTP,)),
        ('["0.0.0.0:80", {address: "0.0.0.0:443", tls: true}]', (HTTP, HTTPS)),
        ('{address: "0.0.0.0:443", tls: "true"}', (HTTPS,)),
        ('{address: "0.0.0.0:80", redirect: true}', (Listener(HTTP.address, redirect=True),)),
        ('[{address: "0.0.0.0:80", proxy_protocol: true}]', (Listener(HTTP.address, proxy_protocol=True),)),
    ],
)
def test_a_listener_is_a_socket_or_a_mapping_or_there_are_several(
    tmp_path: Path, written: str, listeners: tuple[Listener, ...]
) -> None:
    text = listening(written, PAIR, "trusted_proxies: 10.0.0.0/8")
    if '"true"' in written:
        fleet = checked(tmp_path, text).fleet
        assert fleet is not None
    else:
        fleet = fleet_of(tmp_path, text)
    assert fleet.regions["east"].edges[0].listen == listeners


def test_an_edge_that_says_nothing_listens_without_tls_on_its_addresses(tmp_path: Path) -> None:
    (edge,) = fleet_of(tmp_path, GOOD).regions["east"].edges
    assert edge.listen == (Listener(SocketAddress("192.0.2.1", 80)),)


def test_everything_of_an_edge_can_be_left_out_or_left_empty(tmp_path: Path) -> None:
    assert fleet_of(tmp_path, GOOD).edge == EdgeSettings()
    empty = ("timeouts:", "retries:", "retry_budget:", "tls:", "access_log:")
    assert fleet_of(tmp_path, with_edge(*empty)).edge == EdgeSettings()


def test_every_setting_of_an_edge_arrives(tmp_path: Path) -> None:
    text = with_edge(
        "health_path: /up",
        "timeouts: {connect: 1s, first_byte: 20s, idle: 10s, total: 1m}",
        "retries: {tries: 2, on: [502, 503], body: 1 MiB}",
        "retry_budget: {share: 0.1, least: 5}",
        "max_body: 10 MiB",
        "header_timeout: 5s",
        "body_timeout: 6s",
        "write_timeout: 7s",
        "idle_timeout: 8s",
        "tunnel_timeout: 9s",
        "max_request_line_bytes: 4096",
        "max_header_bytes: 8192",
        "max_header_fields: 50",
        "max_connections: 500",
        "max_connections_per_client: 20",
        "max_requests_per_connection: 1000",
        'trusted_proxies: [10.0.0.0/8, "fd00::/8"]',
        "tls: {minimum_version: 1.3, hsts: 365d, hsts_subdomains: true}",
        "access_log: {format: combined, file: access.log}",
        "workers: auto",
        "report_interval: 2s",
        "lame_duck: 0s",
        "drain_timeout: 3s",
    )
    assert fleet_of(tmp_path, text).edge == EdgeSettings(
        health_path="/up",
        timeouts=Timeouts(1.0, 20.0, 10.0, 60.0),
        retries=Retries(2, frozenset({502, 503}), 1 << 20),
        retry_budget=RetryBudget(0.1, 5),
        max_body=10 << 20,
        header_timeout=5.0,
        body_timeout=6.0,
        write_timeout=7.0,
        idle_timeout=8.0,
        tunnel_timeout=9.0,
        max_request_line_bytes=4096,
        max_header_bytes=8192,
        max_header_fields=50,
        max_connections=500,
        max_connections_per_client=20,
        max_requests_per_connection=1000,
        trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
        tls=TlsSettings(minimum_version="1.3", hsts=365 * 86400, hsts_subdomains=True),
        access_log=AccessLog(AccessLogFormat.COMBINED, str(tmp_path / "access.log")),
        workers=None,
        report_interval=2.0,
        lame_duck=0.0,
        drain_timeout=3.0,
    )


@pytest.mark.parametrize(
    ("entry", "known"),
    [
        (EdgeSection, EdgeSettings),
        (TlsEntry, TlsSettings),
        (AccessLogEntry, AccessLog),
        (TimeoutsEntry, Timeouts),
        (RetriesEntry, Retries),
        (RetryBudgetEntry, RetryBudget),
        (ConnectionsEntry, Connections),
        (QueueEntry, QueueSettings),
        (ServerTlsEntry, ServerTls),
        (ListenerEntry, Listener),
        (CertificateEntry, Certificate),
    ],
)
def test_whatever_the_edges_know_can_be_written(entry: type[Entry], known: type) -> None:
    assert set(entry.model_fields) == {field.name for field in fields(known)}


@pytest.mark.parametrize(
    ("written", "format_"),
    [
        ("off", "off"),
        ("false", "off"),
        ("json", "json"),
        ("combined", "combined"),
        ("{format: json}", "json"),
    ],
)
def test_an_access_log_is_a_format_alone_or_a_mapping(tmp_path: Path, written: str, format_: str) -> None:
    edge = fleet_of(tmp_path, with_edge(f"access_log: {written}")).edge
    assert edge.access_log == AccessLog(AccessLogFormat(format_))


def test_what_a_route_leaves_out_is_as_the_edges_have_it(tmp_path: Path) -> None:
    route = "{path: /, pool: web, timeouts: {connect: 1s, total: null}, retries: {tries: 5}, max_body: 1 GiB}"
    edge = ("timeouts: {connect: 3s, idle: 9s, total: 60s}", "retries: {on: 503, body: 1 KiB}")
    (made,) = fleet_of(tmp_path, with_edge(*edge, text=broken(ROUTE, route))).routes
    assert made.timeouts == Timeouts(connect=1.0, first_byte=30.0, idle=9.0, total=None)
    assert made.retries == Retries(5, frozenset({503}), 1024)
    assert made.max_body == 1 << 30


def test_a_route_that_says_nothing_has_nothing_of_its_own(tmp_path: Path) -> None:
    (made,) = fleet_of(tmp_path, with_edge("timeouts: {connect: 3s}")).routes
    assert (made.timeouts, made.retries, made.max_body) == (None, None, None)


def test_what_a_pool_says_of_its_connections(tmp_path: Path) -> None:
    said = (
        "web: {check: quick, connections: {most: 20, idle: 0, idle_timeout: 5s, max_age: 1m}, "
        "queue: {size: 7, timeout: 1s}, tls: {ca: roots.pem, server_name: web.internal}, proxy_protocol: 2}"
    )
    pool = fleet_of(tmp_path, broken(POOL, said)).pools["web"]
    assert pool.connections == Connections(20, 0, 5.0, 60.0)
    assert pool.queue == QueueSettings(7, 1.0)
    assert pool.tls == ServerTls(True, str(tmp_path / "roots.pem"), "web.internal")
    assert pool.proxy_protocol == 2


@pytest.mark.parametrize(("written", "tls"), [("true", ServerTls()), ("false", None), ("null", None)])
def test_tls_to_servers_is_switched_on_and_off(tmp_path: Path, written: str, tls: ServerTls | None) -> None:
    assert fleet_of(tmp_path, broken(POOL, f"web: {{check: quick, tls: {written}}}")).pools["web"].tls == tls


LISTEN = "20:38: regions.east.edges[0].listen"
CASES = [
    (
        listening('{address: "0.0.0.0:443", tls: true, redirect: true}'),
        "20:46: regions.east.edges[0].listen: redirects to https, and has TLS itself; remove `redirect`, or "
        "`tls`",
    ),
    (
        listening('["0.0.0.0:80", {address: "0.0.0.0:443", tls: true}]'),
        "20:91: regions.east.edges[0].listen[1].tls: has TLS, and there is no certificate; list "
        "`{chain, key}` under `edge: tls: certificates:`",
    ),
    (
        listening('{address: "0.0.0.0:80", proxy_protocol: true}'),
        "20:86: regions.east.edges[0].listen.proxy_protocol: trusts PROXY headers, and those of nobody; list "
        "the networks of the proxies under `edge: trusted_proxies:`",
    ),
    (
        listening('["0.0.0.0:80", {address: "0.0.0.0:80", redirect: true}]'),
        "20:61: regions.east.edges[0].listen[1]: edge east-1 listens on '0.0.0.0:80' already; use another "
        "address or port",
    ),
    (
        listening('{address: "0.0.0.0:80", tsl: true}'),
        "20:70: regions.east.edges[0].listen.tsl: unknown key; did you mean 'tls'?",
    ),
    (
        with_edge("connect_timeout: 1s"),
        "33:3: edge.connect_timeout: there is no such key any more; say it as `timeouts: {connect: ...}`",
    ),
    (
        with_edge("response_timeout: 1s"),
        "33:3: edge.response_timeout: there is no such key any more; say it as `timeouts: {first_byte: ..., "
        "idle: ...}`",
    ),
    (
        with_edge("server_idle_timeout: 1s"),
        "33:3: edge.server_idle_timeout: there is no such key any more; say it as `connections: "
        "{idle_timeout: ...}` of each pool under `pools:`",
    ),
    (
        with_edge("server_idle_connections: 1"),
        "33:3: edge.server_idle_connections: there is no such key any more; say it as `connections: "
        "{idle: ...}` of each pool under `pools:`",
    ),
    (
        with_edge("timeouts: {connect: 5s, total: 2s}"),
        "33:34: edge.timeouts.total: the total (2 s) is less than connect (5 s); the total holds everything "
        "else: make it the longest",
    ),
    (
        with_edge(
            "timeouts: {total: 4s}", text=broken(ROUTE, "{path: /, pool: web, timeouts: {connect: 5s}}")
        ),
        "31:46: routes[0].timeouts.connect: the total (4 s) is less than connect (5 s); the total holds "
        "everything else: make it the longest",
    ),
    (
        with_edge("retries: {on: [502, 302]}"),
        "33:23: edge.retries.on[1]: 302 is too small; the least is 400",
    ),
    (
        with_edge("retries: {body: 1 GiB}"),
        "33:19: edge.retries.body: '1 GiB' is too much to keep; 64 MiB are the most: so much is held in "
        "memory for every request under way",
    ),
    (
        with_edge("max_body: 0"),
        "33:13: edge.max_body: 0 leaves no room for anything; for no bound leave it out",
    ),
    (
        with_edge("workers: many"),
        "33:12: edge.workers: 'many' is not a number of processes; write a number, or `auto`",
    ),
    (
        with_edge("workers: 1000"),
        "33:12: edge.workers: 1000 is not between 1 and 256; write `auto` for one a core",
    ),
    (
        with_edge("access_log: jsno"),
        "33:15: edge.access_log: 'jsno' is not one of the choices; did you mean 'json'?",
    ),
    (
        with_edge("access_log: {file: a.log}"),
        "33:3: edge.access_log: `format` is missing; add `format`: how a line is written",
    ),
    (
        with_edge("access_log: {format: json, file: .}"),
        "33:36: edge.access_log.file: '.' cannot be a file; name a file in a directory",
    ),
    (
        with_edge("tls: {minimum_version: 1.1}"),
        "33:26: edge.tls.minimum_version: '1.1' is not one of the choices; did you mean '1.3'?",
    ),
    (
        with_edge("tls: {client_certificate: required}"),
        "33:8: edge.tls: has `client_certificate: required`, and no `client_ca`; name the file of the roots "
        "that clients' certificates come from",
    ),
    (
        with_edge("tls: {client_ca: roots.pem}"),
        "33:8: edge.tls: has a `client_ca`, and asks no client for a certificate; say `client_certificate: "
        "required`, or `optional`",
    ),
    (
        with_edge("tls: {hsts_subdomains: true}"),
        "33:8: edge.tls: has `hsts_subdomains`, and no `hsts`; say for how long: `hsts: 365d`",
    ),
    (
        with_edge("tls: {certificates: {chain: a.pem}}"),
        "33:9: edge.tls.certificates: `key` is missing; add `key`: file in PEM form: its private key, "
        "without a password",
    ),
    (
        broken(POOL, "web: {check: quick, tls: maybe}"),
        "29:28: pools.web.tls: 'maybe' is neither true nor false; write `tls: true`, or `{verify, ca, "
        "server_name, certificate}`",
    ),
    (
        broken(POOL, "web: {check: quick, proxy_protocol: 3}"),
        "29:39: pools.web.proxy_protocol: 3 is too large; the most is 2",
    ),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[case[1].partition(" ")[2][:60] for case in CASES])
def test_a_mistake_has_one_exact_line(tmp_path: Path, text: str, expected: str) -> None:
    assert errors(tmp_path, text) == [expected]


def test_all_mistakes_of_an_edge_are_told_at_once(tmp_path: Path) -> None:
    text = listening('{address: "0.0.0.0:443", tls: true, proxy_protocol: true}', "timeouts: {total: 1s}")
    assert len(errors(tmp_path, text)) == 3


def test_certificates_that_could_not_be_read_are_not_missing(tmp_path: Path) -> None:
    text = listening('{address: "0.0.0.0:443", tls: true}', "tls: {certificates: [{chain: a.pem}]}")
    (found,) = errors(tmp_path, text)
    assert "`key` is missing" in found


def test_a_time_from_the_environment_does_not_show(tmp_path: Path) -> None:
    text = with_edge("timeouts: {connect: '${C}', total: 2s}")
    (found,) = errors(tmp_path, text, {"C": "77s"})
    assert "the total is less than connect" in found
    assert "77" not in found


HTTP_CHECK = GOOD.replace("type: tcp,", "type: http,").replace(
    "servers: {web: [10.0.0.2", "check: quick\n    servers: {web: [10.0.0.2"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            with_edge(
                PAIR,
                text=HTTP_CHECK.replace(
                    EDGES,
                    "edges: [{addresses: [192.0.2.1], port: 443, "
                    'listen: {address: "0.0.0.0:443", tls: true}}]',
                ),
            ),
            "19:12: regions.east.check: the check speaks plain HTTP, to 0.0.0.0:443, which has TLS; name a "
            "check with `tls: true`, or another listener as `probe`",
        ),
        (
            HTTP_CHECK.replace(
                EDGES, 'edges: [{addresses: [192.0.2.1], listen: {address: "0.0.0.0:80", redirect: true}}]'
            ),
            "20:13: regions.east.edges[0]: DNS nodes probe 0.0.0.0:80, which redirects whatever is not "
            "edge.health_path; let the check ask for that path, or let `probe` (or `port`) name a listener "
            "that serves",
        ),
        (
            with_edge(PAIR, text=HTTP_CHECK.replace("type: http,", "type: http, tls: true,")),
            "19:12: regions.east.check: the check speaks HTTPS, to 192.0.2.1:80, which has no TLS; give the "
            "listener `tls: true`, or name a check without TLS",
        ),
        (
            listening('["0.0.0.0:443", {address: "0.0.0.0:8443", tls: true}]', PAIR),
            "20:47: regions.east.edges[0].listen[0]: plain HTTP is spoken at port 443; write it as "
            "`{address: ..., tls: true}`",
        ),
        (
            with_edge(PAIR),
            "33:9: edge.tls.certificates: no listener has TLS; give a listener of an edge `tls: true`",
        ),
        (
            with_edge("trusted_proxies: [0.0.0.0/0]"),
            "33:21: edge.trusted_proxies[0]: everybody may then say that a request comes from somebody else; "
            "list the networks of your own proxies only",
        ),
        (
            broken(POOL, "web: {check: quick, queue: {size: 5}}"),
            "29:23: pools.web.queue: nothing ever queues, as servers get all requests at once; say how many "
            "connections a server takes: `connections: {most: 100}`",
        ),
        (
            broken(POOL, "web: {check: quick, tls: {verify: false}}"),
            "29:37: pools.web.tls.verify: whoever stands between an edge and a server can pass for the "
            "server; name the roots of your own certificates as `ca` instead",
        ),
    ],
)
def test_what_is_unwise_is_warned_of(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in warnings(tmp_path, text)


def test_a_listener_that_redirects_may_be_asked_for_the_health_path(tmp_path: Path) -> None:
    asking = HTTP_CHECK.replace("type: http,", "type: http, path: /.gslb/health,")
    redirecting = 'edges: [{addresses: [192.0.2.1], listen: {address: "0.0.0.0:80", redirect: true}}]'
    assert warnings(tmp_path, asking.replace(EDGES, redirecting)) == []


def test_a_wise_edge_is_warned_of_nothing(tmp_path: Path) -> None:
    text = listening(
        '[{address: "0.0.0.0:80", proxy_protocol: false}, {address: "0.0.0.0:443", tls: true}]',
        PAIR,
        "trusted_proxies: [10.0.0.0/8]",
    )
    assert warnings(tmp_path, text) == []
