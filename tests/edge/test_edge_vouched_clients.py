"""Who the client is, only those say whom the operator trusts: PROXY headers and X-Forwarded-For."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme
from edge_stage import REGION, Message, Origin, Seen, Stage, answering, make_fleet, ok, read_message

from edge.process import EdgeProcess
from edge.proxy_protocol import NEED_DATA, ProxyHeader, ProxyHeaderReader, write_v1, write_v2
from gslb.clock import SystemClock
from gslb.fleet import (
    AccessLog,
    AccessLogFormat,
    BalancingMethod,
    Certificate,
    Listener,
    Route,
    SocketAddress,
    TlsSettings,
)

AUTHORITY = trustme.CA()
BEHIND = Listener(SocketAddress("127.0.0.1", 0), proxy_protocol=True)
EVERYTHING = [Route(None, "/", "web")]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LOOPBACK = (ip_network("127.0.0.0/8"),)
CLIENT, ENTRY = SocketAddress("198.51.100.7", 5555), SocketAddress("203.0.113.1", 443)
SIX = SocketAddress("2001:db8::7", 5555)
Start = Callable[..., Any]


@pytest_asyncio.fixture
async def start(stage: Stage) -> AsyncIterator[Start]:
    """Starts an edge with this listener; it is stopped at the end."""
    running: list[EdgeProcess] = []

    async def begin(*origins: Origin, listener: Listener = BEHIND, **options: Any) -> EdgeProcess:
        options.setdefault("trusted_proxies", LOOPBACK)
        options.setdefault("drain_timeout", 0.0)
        fleet = make_fleet({"web": [each.address for each in origins]}, routes=EVERYTHING, **options)
        declared = replace(fleet.regions[REGION].edges[0], listen=(listener,))
        process = EdgeProcess(fleet, declared, SystemClock(), loop=asyncio.get_running_loop())
        await process.start()
        stage.port = process.listening[0].port
        running.append(process)
        return process

    yield begin
    for process in running:
        await process.stop()


async def ends(reader: asyncio.StreamReader) -> None:
    """Nothing comes but the end, which is a reset where something was left unread."""
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(5):
            assert await reader.read() == b""


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (write_v1(CLIENT, ENTRY), "198.51.100.7"),
        (write_v2(CLIENT, ENTRY), "198.51.100.7"),
        (write_v1(SIX, SocketAddress("2001:db8::1", 443)), "2001:db8::7"),
        (write_v2(None, None), "127.0.0.1"),
        (b"PROXY UNKNOWN whatever\r\n", "127.0.0.1"),
    ],
)
async def test_a_trusted_peers_header_says_who_the_client_is(
    stage: Stage, start: Start, header: bytes, client: str
) -> None:
    seen = Seen()
    process = await start(await stage.origin(answering(ok(), seen)))
    reader, writer = await stage.connect()
    writer.write(header + GET)
    assert (await read_message(reader)).status == 200
    assert {connection.peer.address for connection in process.proxy.connections} == {client}
    (request,) = seen.requests
    assert (request.get("x-forwarded-for"), request.get("x-real-ip")) == (client, client)
    # A second header is no request, and none of it reaches a server.
    writer.write(header + GET)
    assert (await read_message(reader)).status == 400
    assert len(seen.requests) == 1


@pytest.mark.parametrize("header", [write_v1(CLIENT, ENTRY), write_v2(CLIENT, ENTRY)])
async def test_a_header_may_come_in_pieces(stage: Stage, start: Start, header: bytes) -> None:
    seen = Seen()
    await start(await stage.origin(answering(ok(), seen)))
    reader, writer = await stage.connect()
    for at in range(0, len(header), 16):
        writer.write(header[at : at + 16])
        # While the rest is missing others are served, so that what there is has been looked at for sure.
        assert (await stage.ask(write_v2(None, None) + GET)).status == 200
    writer.write(GET)
    assert (await read_message(reader)).status == 200
    assert seen.requests[-1].get("x-forwarded-for") == "198.51.100.7"


async def test_a_header_of_somebody_not_trusted_is_not_even_read(
    stage: Stage, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    origin = await stage.origin(answering(ok()))
    process = await start(origin, trusted_proxies=(ip_network("192.0.2.0/24"),))
    for sent in (write_v1(CLIENT, ENTRY) + GET, write_v2(None, None) + GET, GET):
        reader, writer = await stage.connect()
        writer.write(sent)
        await ends(reader)
    assert process.proxy.counters.connections == 0
    assert capsys.readouterr().out.count("PROXY header of nobody trusted") == 3


@pytest.mark.parametrize("sent", [GET, b"PROXY TCP4 1.2.3.4\r\n" + GET, b"PROXY TCP4 a b 1 2\r\n"])
async def test_a_trusted_peer_without_a_header_is_closed(stage: Stage, start: Start, sent: bytes) -> None:
    process = await start(await stage.origin(answering(ok())))
    reader, writer = await stage.connect()
    writer.write(sent)
    await ends(reader)
    assert process.proxy.counters.requests == 0


@pytest.mark.parametrize("begun", [b"", b"PROXY TCP4 198."])
async def test_a_header_that_does_not_come_is_not_waited_for(
    stage: Stage, start: Start, begun: bytes
) -> None:
    await start(await stage.origin(answering(ok())), header_timeout=0.05)
    reader, writer = await stage.connect()
    writer.write(begun)
    await ends(reader)


async def test_tls_begins_right_behind_the_header(stage: Stage, start: Start, tmp_path: Path) -> None:
    issued = AUTHORITY.issue_cert("shop.example")
    files = Certificate(str(tmp_path / "chain.pem"), str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(files.chain)
    issued.private_key_pem.write_to_path(files.key)
    seen = Seen()
    await start(
        await stage.origin(answering(ok(), seen)),
        listener=replace(BEHIND, tls=True),
        tls=TlsSettings((files,)),
    )
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    # By hand, so that the header and the first bytes of TLS are one piece.
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="shop.example")
    reader, writer = await stage.connect()
    before = write_v2(CLIENT, ENTRY)
    answer = b""
    asked = False
    while not answer.endswith(b"hello"):
        try:
            if not asked:
                tls.do_handshake()
                tls.write(GET)
                asked = True
            answer += tls.read()
        except ssl.SSLWantReadError:
            writer.write(before + outgoing.read())
            before = b""
            async with asyncio.timeout(5):
                incoming.write(await reader.read(65536))
    assert answer.startswith(b"HTTP/1.1 200 ")
    (request,) = seen.requests
    assert request.get("x-forwarded-for") == "198.51.100.7"
    assert request.get("x-forwarded-proto") == "https"


class Introduced:
    """A server that wants a PROXY header before the first request, and tells whom it said."""

    def __init__(self) -> None:
        self.headers: list[ProxyHeader] = []
        self.requests: list[Message] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        expected = ProxyHeaderReader()
        header: Any = NEED_DATA
        while header is NEED_DATA:
            header = expected.receive(await reader.readexactly(1))
        self.headers.append(header)
        while True:
            self.requests.append(await read_message(reader))
            writer.write(ok())


@pytest.mark.parametrize("version", [1, 2])
async def test_servers_are_introduced_and_no_two_requests_share_a_connection(
    stage: Stage, version: int
) -> None:
    server = Introduced()
    origin = await stage.origin(server)
    proxy = await stage.one_pool(origin, pool={"proxy_protocol": version})
    ports = []
    for _ in range(2):
        reader, writer = await stage.connect()
        ports.append(writer.get_extra_info("sockname")[1])
        writer.write(GET)
        assert (await read_message(reader)).status == 200
    assert [header.version for header in server.headers] == [version, version]
    assert [header.source for header in server.headers] == [SocketAddress("127.0.0.1", at) for at in ports]
    assert origin.connections == 2
    assert not proxy.pools.by_name["web"].servers[0].idle


async def test_servers_hear_of_the_client_that_a_header_named(stage: Stage, start: Start) -> None:
    server = Introduced()
    await start(await stage.origin(server), pool={"proxy_protocol": 2})
    reader, writer = await stage.connect()
    writer.write(write_v1(CLIENT, ENTRY) + GET)
    assert (await read_message(reader)).status == 200
    assert [(header.source, header.destination) for header in server.headers] == [(CLIENT, ENTRY)]


CHAIN = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.66\r\nX_Forwarded_For: 192.0.2.67\r\n%b\r\n"


async def test_what_somebody_not_trusted_says_of_itself_is_replaced(stage: Stage) -> None:
    seen = Seen()
    await stage.one_pool(await stage.origin(answering(ok(), seen)))
    claims = b"Forwarded: for=192.0.2.66\r\nX-Real-IP: 192.0.2.66\r\nX-Forwarded-Proto: https\r\n"
    assert (await stage.ask(CHAIN % claims)).status == 200
    (request,) = seen.requests
    assert request.get("x-forwarded-for") == request.get("x-real-ip") == "127.0.0.1"
    assert request.get("x-forwarded-proto") == "http"
    assert "192.0.2.6" not in repr(request.fields)


async def test_what_a_trusted_proxy_says_is_continued(stage: Stage) -> None:
    seen = Seen()
    await stage.one_pool(await stage.origin(answering(ok(), seen)), trusted_proxies=LOOPBACK)
    assert (await stage.ask(CHAIN % b"X-Forwarded-Proto: https\r\n")).status == 200
    (request,) = seen.requests
    assert request.get("x-forwarded-for") == "192.0.2.66, 127.0.0.1"
    assert request.get("x-real-ip") == "192.0.2.66"
    assert request.get("x-forwarded-proto") == "https"
    assert "192.0.2.67" not in repr(request.fields)


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_hash_of_a_client_is_of_the_one_vouched_for(stage: Stage, trusted: bool) -> None:
    origins = [await stage.origin(answering(ok(b"%d" % number))) for number in range(4)]
    await stage.one_pool(
        *origins,
        methods={"web": BalancingMethod.IP_HASH},
        trusted_proxies=LOOPBACK if trusted else (),
    )
    reached = set()
    for last in range(24):
        request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.%d.66\r\n\r\n" % last
        first, second = [(await stage.ask(request)).body for _ in range(2)]
        assert first == second
        reached.add(first)
    # Who is not trusted could choose its server, else.
    assert len(reached) == (4 if trusted else 1)


@pytest.mark.parametrize(("trusted", "client"), [(True, "192.0.2.66"), (False, "127.0.0.1")])
async def test_the_access_log_names_the_client_that_is_vouched_for(
    stage: Stage, start: Start, tmp_path: Path, trusted: bool, client: str
) -> None:
    log = tmp_path / "access.log"
    process = await start(
        await stage.origin(answering(ok())),
        listener=replace(BEHIND, proxy_protocol=False),
        trusted_proxies=LOOPBACK if trusted else (),
        access_log=AccessLog(AccessLogFormat.JSON, str(log)),
    )
    assert (await stage.ask(CHAIN % b"")).status == 200
    await process.stop()
    (line,) = log.read_text().splitlines()
    assert json.loads(line)["client"] == client
