"""Checks against real sockets on loopback, well and badly behaved; and options that say what is wrong."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl

import pytest
from listening_target import AUTHORITY, PATIENCE, answering, http, listening
from pydantic import ValidationError

from gslb.fleet import SocketAddress
from gslb.health.checks import (
    BODY_LIMIT,
    CHECKS,
    AgentCheck,
    Check,
    CheckOptions,
    HttpCheck,
    ProbeOutcome,
    TcpCheck,
)
from gslb.health.checks import http as http_module
from gslb.health.checks import tcp as tcp_module


def silent(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def hanging_up(connection: socket.socket) -> None:
    connection.recv(1)


def greeting(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.test ES")
    if connection.recv(100) == b"EHLO health\r\n":
        connection.sendall(b"MTP ready\r\n")


def flooding(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65536)


async def test_the_registry_knows_every_check_by_its_name() -> None:
    assert dict(CHECKS) == {"http": HttpCheck, "tcp": TcpCheck, "agent": AgentCheck}
    for name, check in CHECKS.items():
        required = {"port": 9} if check is AgentCheck else {}
        instance = check.from_options(check.Options.model_validate(required))
        assert instance.name == name
        again = check.from_options(check.Options.model_validate(required))
        assert instance == again, "equal options make equal checks"
        hash(instance)


@pytest.mark.parametrize(
    ("options", "answer", "ok", "reason"),
    [
        ({}, http(), True, r"200 in [\d.]+ ms"),
        ({}, http(status="299 Odd"), True, r"299 in [\d.]+ ms"),
        ({}, http(status="503 No"), False, "status 503, expected 200-299"),
        ({}, http(status="302 Found"), False, "status 302, expected 200-299"),
        ({"status": 302}, http(status="302 Found"), True, r"302 in .*"),
        ({"status": ["200", "300-399"]}, http(status="404 No"), False, "status 404, expected 200 or 300-399"),
        ({"body": "ok"}, http(b"all ok here"), True, r"200 in .*"),
        ({"body": "ok"}, http(b"down"), False, "body does not match 'ok'"),
        ({"body": "a.c"}, http(b"abc"), False, "body does not match 'a.c'"),
        ({"body": "/^a.c$/"}, http(b"abc"), True, r"200 in .*"),
        ({"body": "/^b/"}, http(b"abc"), False, re.escape("body does not match '/^b/'")),
        ({"body": "é"}, http("café".encode()), True, r"200 in .*"),
        ({"body": "x"}, http(b"\xff\xfex"), True, r"200 in .*"),
        ({"body": "end"}, http(b"x" * (BODY_LIMIT - 3) + b"end"), True, r"200 in .*"),
        ({"body": "end"}, http(b"x" * (BODY_LIMIT - 2) + b"end"), False, "body does not match 'end'"),
        ({"method": "HEAD"}, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", True, r"200 in .*"),
        ({}, b"SSH-2.0-OpenSSH_9.2\r\n\r\n", False, "answer is not HTTP"),
        ({}, b"", False, "connection closed without an answer"),
        ({"body": "x"}, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nxy", False, "answer broken off"),
    ],
)
async def test_http_answers(options: dict[str, object], answer: bytes, ok: bool, reason: str) -> None:
    check = HttpCheck.from_options(HttpCheck.Options.model_validate(options))
    with listening(answering(answer)) as target:
        outcome = await check.probe(target, PATIENCE)
    assert re.fullmatch(reason, outcome.reason), outcome.reason
    assert outcome.ok == ok
    assert 0 < outcome.latency < PATIENCE


async def test_what_http_asks() -> None:
    requests: list[bytes] = []
    options = {
        "path": "/up?deep=%20yes",
        "host": "www.shop.example",
        "headers": {"X-Check": "one two", "user-agent": "ours"},
    }
    with listening(answering(http(), requests)) as target:
        for kept in ({}, options):
            check = HttpCheck.from_options(HttpCheck.Options.model_validate(kept))
            assert (await check.probe(target, PATIENCE)).ok
    plain, full = (request.decode().lower().split("\r\n") for request in requests)
    assert plain[0] == "get / http/1.1"
    assert f"host: {target}" in plain
    assert full[0] == "get /up?deep=%20yes http/1.1"
    assert "host: www.shop.example" in full
    assert "x-check: one two" in full
    assert [line for line in full if line.startswith("user-agent")] == ["user-agent: ours"]
    assert len([line for line in full if line.startswith("host")]) == 1


@pytest.mark.parametrize("check", [HttpCheck(), TcpCheck(expect=b"x")])
async def test_what_goes_wrong_with_any_check(check: Check) -> None:
    with listening(silent) as target:
        outcome = await check.probe(target, 0.05)
        assert (outcome.ok, outcome.reason) == (False, "timeout after 50 ms")
        assert outcome.latency >= 0.05
        task = asyncio.create_task(check.probe(target, PATIENCE))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    refused = await check.probe(target, PATIENCE)
    assert (refused.ok, refused.reason) == (False, "connection refused")
    nameless = await check.probe(SocketAddress("no such.invalid", 80), PATIENCE)
    assert not nameless.ok
    for odd in (SocketAddress("", 80), SocketAddress("127.0.0.1", 99999), SocketAddress("a" * 300, 1)):
        assert not (await check.probe(odd, PATIENCE)).ok, "a probe has an outcome whatever it is asked"


@pytest.mark.parametrize(
    ("options", "ok", "reason"),
    [
        ({}, True, r"connected in [\d.]+ ms"),
        ({"expect": "220 mail"}, True, r"expected text in [\d.]+ ms"),
        ({"expect": "ESMTP", "send": "EHLO health\r\n"}, True, r"expected text in [\d.]+ ms"),
        ({"expect": "ESMTP", "send": "nonsense\r\n"}, False, "answer does not contain 'ESMTP'"),
    ],
)
async def test_tcp(options: dict[str, object], ok: bool, reason: str) -> None:
    check = TcpCheck.from_options(TcpCheck.Options.model_validate(options))
    with listening(greeting) as target:
        outcome = await check.probe(target, PATIENCE)
    assert (outcome.ok, bool(re.fullmatch(reason, outcome.reason))) == (ok, True), outcome.reason


async def test_tcp_looks_no_further_than_its_limit() -> None:
    with listening(flooding) as target:
        outcome = await TcpCheck(expect=b"needle").probe(target, PATIENCE)
    assert outcome.reason == "answer does not contain 'needle'"


async def serve_ok_over_tls(check: Check) -> ProbeOutcome:
    with listening(answering(http()), tls=True) as target:
        return await check.probe(target, PATIENCE)


def trusting(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    assert verify
    return context


async def test_tls_is_verified_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for strict in (HttpCheck(tls=True), TcpCheck(tls=True)):
        outcome = await serve_ok_over_tls(strict)
        assert not outcome.ok
        assert outcome.reason.startswith("certificate not accepted: unable to get")
    assert (await serve_ok_over_tls(HttpCheck(tls=True, verify=False))).ok
    assert (await serve_ok_over_tls(TcpCheck(tls=True, verify=False))).ok
    monkeypatch.setattr(http_module, "tls_context", trusting)
    monkeypatch.setattr(tcp_module, "tls_context", trusting)
    assert (await serve_ok_over_tls(HttpCheck(tls=True, server_name="health.test"))).ok
    assert (await serve_ok_over_tls(HttpCheck(tls=True, host="health.test:8443"))).ok
    assert (await serve_ok_over_tls(TcpCheck(tls=True, server_name="health.test"))).ok
    for wrong in (
        HttpCheck(tls=True, server_name="other.test"),
        HttpCheck(tls=True),
        TcpCheck(tls=True, server_name="other.test"),
        TcpCheck(tls=True),
    ):
        outcome = await serve_ok_over_tls(wrong)
        assert outcome.reason.startswith("certificate not accepted: "), outcome.reason
        assert "match" in outcome.reason or "mismatch" in outcome.reason


async def test_tls_where_none_is_spoken() -> None:
    for check in (HttpCheck(tls=True), TcpCheck(tls=True)):
        with listening(greeting) as target:
            outcome = await check.probe(target, PATIENCE)
        assert outcome.reason == "TLS failed: wrong version number"


async def test_hung_up_on() -> None:
    with listening(hanging_up) as target:
        assert (await HttpCheck().probe(target, PATIENCE)).reason in (
            "connection closed without an answer",
            "connection reset",
        )


@pytest.mark.parametrize(
    ("check", "options", "message"),
    [
        ("http", {"path": "health"}, "must start with /"),
        ("http", {"path": "/a b"}, "percent-encode"),
        ("http", {"path": "/a\r\nX: y"}, "percent-encode"),
        ("http", {"host": "a b"}, "must be a host name"),
        ("http", {"method": "POST"}, "'GET' or 'HEAD'"),
        ("http", {"status": "2xx"}, "'2xx' is neither a status code"),
        ("http", {"status": 99}, "99 is neither"),
        ("http", {"status": "299-200"}, "ends before it begins"),
        ("http", {"status": []}, "names no status"),
        ("http", {"body": ""}, "at least 1 character"),
        ("http", {"body": "/(/"}, "is not a regular expression"),
        ("http", {"body": "ok", "method": "HEAD"}, "has no body to look into"),
        ("http", {"headers": {"Host": "x"}}, "use `host`"),
        ("http", {"headers": {"a b": "x"}}, "is not a header name"),
        ("http", {"headers": {"a": "x\r\ny: z"}}, "characters that no header may have"),
        ("http", {"server_name": "x"}, "add tls: true"),
        ("http", {"pth": "/"}, "Extra inputs are not permitted"),
        ("http", {"load": "header"}, "write `body`, {header: NAME} or {field: PATH}"),
        ("http", {"load": {}}, "write `body`, {header: NAME} or {field: PATH}"),
        ("http", {"load": {"header": "a", "field": "b"}}, "write `body`, {header: NAME} or {field: PATH}"),
        ("http", {"load": {"json": "a"}}, "'json' is no place"),
        ("http", {"load": {"header": "a b"}}, "'a b' is not a header name"),
        ("http", {"load": {"header": 5}}, "5 is not a header name"),
        ("http", {"load": {"field": "a..b"}}, "'a..b' is not a field"),
        ("http", {"load": "body", "method": "HEAD"}, "no body to tell the load in"),
        ("tcp", {"server_name": "x"}, "add tls: true"),
        ("tcp", {"expect": ""}, "at least 1 character"),
        ("tcp", {"path": "/"}, "Extra inputs are not permitted"),
        ("agent", {}, "Field required"),
        ("agent", {"port": 0}, "greater than or equal to 1"),
        ("agent", {"port": 65536}, "less than or equal to 65535"),
    ],
)
def test_bad_options_say_what_is_right(check: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CHECKS[check].Options.model_validate(options)
    assert message in str(caught.value)


def test_options_have_a_schema() -> None:
    for check in CHECKS.values():
        assert issubclass(check.Options, CheckOptions)
        assert check.Options.model_json_schema()["additionalProperties"] is False
