"""TLS through a whole edge: certificates by name and by file, redirects, servers' certificates, true ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme
from edge_stage import REGION, Message, Seen, Stage, answering, make_fleet, ok, read_head, read_message, until

import edge.process
import edge.proxy.downstream
from edge.process import EdgeProcess
from gslb.clock import SystemClock
from gslb.fleet import (
    Certificate,
    ClientCertificate,
    Listener,
    Route,
    ServerTls,
    SocketAddress,
    TlsSettings,
)

ANYWHERE = SocketAddress("127.0.0.1", 0)
SECURE = Listener(ANYWHERE, tls=True)
AUTHORITY = trustme.CA()
STRANGERS = trustme.CA()
GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"
LARGE = 4_000_000
Start = Callable[..., Any]


def write_pair(folder: Path, name: str, authority: trustme.CA = AUTHORITY) -> Certificate:
    """As those who renew certificates do it: another file takes the place of the one before."""
    issued = authority.issue_cert(name)
    files = Certificate(str(folder / f"{name}.pem"), str(folder / f"{name}.key"))
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    for path, content in ((files.key, issued.private_key_pem.bytes()), (files.chain, chain)):
        Path(path + ".new").write_bytes(content)
        os.replace(path + ".new", path)
    return files


def trusting(authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None)
    authority.configure_trust(context)
    return context


@pytest_asyncio.fixture
async def start(stage: Stage, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts an edge with these listeners in front of these origins; it is stopped at the end."""
    running: list[EdgeProcess] = []

    async def begin(
        *listeners: Listener, origins: list[SocketAddress], tls: TlsSettings | None = None, **options: Any
    ) -> EdgeProcess:
        tls = tls or TlsSettings((write_pair(tmp_path, "shop.example"),))
        fleet = make_fleet({"web": origins}, routes=[Route(None, "/", "web")], tls=tls, **options)
        declared = replace(fleet.regions[REGION].edges[0], listen=listeners)
        process = EdgeProcess(fleet, declared, SystemClock(), loop=asyncio.get_running_loop())
        await process.start()
        running.append(process)
        return process

    yield begin
    for process in running:
        await process.stop()


class Visitor:
    """A client of one listener, over TLS unless told otherwise."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def of(
        cls, address: SocketAddress, name: str = "shop.example", context: ssl.SSLContext | None = None
    ) -> Visitor:
        return cls(
            *await asyncio.open_connection(
                address.host, address.port, ssl=context or trusting(), server_hostname=name
            )
        )

    @property
    def names(self) -> list[str]:
        return [value for _, value in self.writer.get_extra_info("peercert")["subjectAltName"]]

    @property
    def serial(self) -> str:
        return str(self.writer.get_extra_info("peercert")["serialNumber"])

    async def ask(self, request: bytes = GET) -> Message:
        self.writer.write(request)
        return await read_message(self.reader)

    async def leave(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


async def plainly(address: SocketAddress, request: bytes) -> Message:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(request)
    response = await read_message(reader)
    writer.close()
    return response


async def ticks(process: EdgeProcess, count: int) -> None:
    """Wait until the edge has looked after its time limits so many times."""
    for _ in range(count):
        before = process.proxy._ticking
        async with asyncio.timeout(5):
            while process.proxy._ticking is before:
                await asyncio.sleep(0.001)


async def test_each_name_gets_its_certificate_and_servers_hear_of_https(
    stage: Stage, start: Start, tmp_path: Path
) -> None:
    heard: list[Message] = []

    async def listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heard.append(await read_message(reader))
            writer.write(ok())

    origin = await stage.origin(listening)
    pairs = (write_pair(tmp_path, "shop.example"), write_pair(tmp_path, "news.example"))
    process = await start(SECURE, origins=[origin.address], tls=TlsSettings(pairs))
    for name in ("shop.example", "news.example"):
        visitor = await Visitor.of(process.listening[0], name)
        assert visitor.names == [name]
        assert (await visitor.ask()).body == b"hello"
        assert heard[-1].get("x-forwarded-proto") == "https"
        await visitor.leave()


async def test_a_renewed_certificate_is_shown_next_and_no_connection_notices(
    stage: Stage, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge.process, "_CERTIFICATES_EVERY", 0.01)
    origin = await stage.origin(answering(ok()))
    process = await start(SECURE, origins=[origin.address])
    early = await Visitor.of(process.listening[0])
    assert (await early.ask()).status == 200
    before = process.certificates.certificates
    write_pair(tmp_path, "shop.example")
    await until(lambda: process.certificates.certificates != before)
    late = await Visitor.of(process.listening[0])
    assert late.serial != early.serial
    assert [(await each.ask()).status for each in (early, late)] == [200, 200]
    await early.leave()
    await late.leave()


async def test_a_broken_renewal_leaves_the_certificate_in_force(
    stage: Stage, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge.process, "_CERTIFICATES_EVERY", 0.01)
    origin = await stage.origin(answering(ok()))
    process = await start(SECURE, origins=[origin.address])
    (tmp_path / "shop.example.pem").write_text("not yet")
    await until(lambda: bool(process.certificates.problems))
    visitor = await Visitor.of(process.listening[0])
    assert (await visitor.ask()).status == 200
    await visitor.leave()


async def test_who_must_show_a_certificate_and_does_not_reaches_nobody(
    stage: Stage, start: Start, tmp_path: Path
) -> None:
    roots = tmp_path / "clients.pem"
    AUTHORITY.cert_pem.write_to_path(roots)
    seen = Seen()
    origin = await stage.origin(answering(ok(), seen))
    tls = TlsSettings(
        (write_pair(tmp_path, "shop.example"),),
        client_ca=str(roots),
        client_certificate=ClientCertificate.REQUIRED,
    )
    process = await start(SECURE, origins=[origin.address], tls=tls)
    for authority in (None, STRANGERS, AUTHORITY):
        context = trusting()
        if authority is not None:
            shown = write_pair(tmp_path, "client.example", authority)
            context.load_cert_chain(shown.chain, shown.key)
        known = authority is AUTHORITY
        # In TLS 1.3 a client hears only with its first read that its certificate will not do.
        try:
            visitor = await Visitor.of(process.listening[0], context=context)
            status = (await visitor.ask()).status
            await visitor.leave()
        except (OSError, asyncio.IncompleteReadError):
            status = 0
        assert status == (200 if known else 0)
        assert process.proxy.counters.requests == known
        assert len(seen.requests) == known


async def test_plain_http_is_sent_to_https_but_health_is_told(stage: Stage, start: Start) -> None:
    origin = await stage.origin(answering(ok()))
    process = await start(Listener(ANYWHERE, redirect=True), SECURE, origins=[origin.address])
    plain = process.listening[0]
    told = await plainly(plain, b"GET /a%20b?c=d HTTP/1.1\r\nHost: Shop.Example:80\r\n\r\n")
    assert (told.status, told.get("location")) == (308, "https://shop.example/a%20b?c=d")
    assert told.body == b""
    posted = await plainly(plain, b"POST http://shop.example/x HTTP/1.1\r\nHost: evil\r\n\r\n")
    assert (posted.status, posted.get("location")) == (308, "https://shop.example/x")
    health = await plainly(plain, b"GET /.gslb/health HTTP/1.1\r\nHost: a\r\n\r\n")
    assert health.status in (200, 503)
    assert health.get("location") is None


async def test_only_what_came_over_tls_says_hsts(stage: Stage, start: Start, tmp_path: Path) -> None:
    origin = await stage.origin(answering(ok()))
    tls = TlsSettings((write_pair(tmp_path, "shop.example"),), hsts=3600, hsts_subdomains=True)
    process = await start(Listener(ANYWHERE), SECURE, origins=[origin.address], tls=tls)
    assert (await plainly(process.listening[0], GET)).get("strict-transport-security") is None
    visitor = await Visitor.of(process.listening[1])
    for request in (GET, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"):  # a server's answer, the edge's own
        said = (await visitor.ask(request)).get("strict-transport-security")
        assert said == "max-age=3600; includeSubDomains"
    await visitor.leave()


@pytest.mark.parametrize("delay", [False, True])
async def test_a_large_last_response_comes_whole_over_tls(
    stage: Stage, start: Start, monkeypatch: pytest.MonkeyPatch, delay: bool
) -> None:
    """Also when the client takes its time: what it was sent may lie beneath TLS, where no edge can see it."""
    monkeypatch.setattr(edge.proxy.downstream, "LINGER", 0.0)
    origin = await stage.origin(answering(ok(b"x" * LARGE)))
    process = await start(SECURE, origins=[origin.address], header_timeout=0.08)
    visitor = await Visitor.of(process.listening[0])
    visitor.writer.write(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    head = await read_head(visitor.reader)
    assert head.get("connection") == "close"
    body = b""
    if delay:
        while process.proxy.counters.in_flight:
            body += await visitor.reader.read(10_000)
        await ticks(process, 1)
    body += await visitor.reader.read()
    assert body == b"x" * LARGE
    await visitor.leave()


async def test_a_client_that_ignores_the_goodbye_of_tls_does_no_harm(stage: Stage, start: Start) -> None:
    """It is idle for too long, is told so, and does not answer: the watch over time goes on for all."""
    faults: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    origin = await stage.origin(answering(ok()))
    process = await start(SECURE, origins=[origin.address], idle_timeout=0.08, drain_timeout=0.2)
    stage.port = process.listening[0].port
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting().wrap_bio(incoming, outgoing, server_hostname="shop.example")
    reader, writer = await stage.connect()
    while not process.proxy.connections:
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        writer.write(outgoing.read())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                incoming.write(await reader.read(65536))
    (connection,) = process.proxy.connections
    await until(lambda: connection._transport.is_closing())
    await ticks(process, 4)
    await process.stop()
    assert not process.proxy.connections
    assert faults == []


class Secured:
    """A server behind TLS, in the stage's way."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def serve(self, handler: Any, authority: trustme.CA = AUTHORITY) -> SocketAddress:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("web.example").configure_cert(context)

        async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handler(reader, writer)
            writer.close()

        server = await asyncio.start_server(quietly, "127.0.0.1", 0, ssl=context)
        self._stage._stack.callback(server.close)
        return SocketAddress(*server.sockets[0].getsockname()[:2])


def verified(tmp_path: Path, name: str) -> dict[str, Any]:
    roots = tmp_path / "roots.pem"
    AUTHORITY.cert_pem.write_to_path(roots)
    return {"tls": ServerTls(ca=str(roots), server_name=name)}


async def test_a_server_that_is_not_who_it_should_be_gets_no_request(stage: Stage, tmp_path: Path) -> None:
    secured = Secured(stage)
    told: list[Message] = []

    async def listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            told.append(await read_message(reader))
            writer.write(ok(b"right"))

    right = await secured.serve(listening)
    strange = await secured.serve(listening, STRANGERS)
    everything = [Route(None, "/", "web")]
    proxy = await stage.serve(
        make_fleet({"web": [strange, right]}, routes=everything, pool=verified(tmp_path, "web.example"))
    )
    assert [(await stage.ask(GET)).body for _ in range(2)] == [b"right", b"right"]
    assert proxy.pools.by_name["web"].servers[0].connect_failures >= 1
    assert len(told) == 2
    for servers, name in (([strange], "web.example"), ([right], "other.example")):
        await stage.serve(make_fleet({"web": servers}, routes=everything, pool=verified(tmp_path, name)))
        assert (await stage.ask(GET)).status == 502
    assert len(told) == 2


@pytest.mark.parametrize("goodbye", [True, False])
@pytest.mark.parametrize("minor", [0, 1])
async def test_a_body_without_a_length_is_whole_only_if_tls_said_goodbye(
    stage: Stage, tmp_path: Path, goodbye: bool, minor: int
) -> None:
    """Anybody on the way can end a TCP connection; a response must not look whole because of that."""

    async def until_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\npart of it")
        await writer.drain()
        if not goodbye:
            beneath = os.dup(writer.get_extra_info("socket").fileno())
            with socket.socket(fileno=beneath) as same:
                same.shutdown(socket.SHUT_WR)
            await reader.read()

    address = await Secured(stage).serve(until_close)
    proxy = await stage.serve(
        make_fleet(
            {"web": [address]}, routes=[Route(None, "/", "web")], pool=verified(tmp_path, "web.example")
        )
    )
    reader, writer = await stage.connect()
    writer.write(b"GET / HTTP/1.%d\r\nHost: a\r\n\r\n" % minor)
    if goodbye:
        assert (await read_message(reader)).body == b"part of it"
    else:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await read_message(reader)
    assert proxy.counters.aborted_by_server == (not goodbye)
    assert proxy.counters.in_flight == 0
