"""TLS towards servers: verified unless told otherwise, with the name that was meant."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from edge.tls.error import TlsError
from edge.tls.handshake import said_goodbye
from edge.tls.servers import context_to_servers, expected_name, server_context
from gslb.fleet import Certificate, ServerTls

AUTHORITY = trustme.CA()
STRANGERS = trustme.CA()


@pytest.fixture
def roots(tmp_path: Path) -> str:
    path = tmp_path / "roots.pem"
    path.write_text("# Zoë's roots\n" + AUTHORITY.cert_pem.bytes().decode())
    return str(path)


@asynccontextmanager
async def origin(
    *names: str, authority: trustme.CA = AUTHORITY, clients: trustme.CA | None = None
) -> AsyncIterator[int]:
    """A server with a certificate for these names; it says whom it was asked for, and by whom."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls = writer.get_extra_info("ssl_object")
        writer.write(f"{tls.selected_alpn_protocol()} {tls.version()}\n".encode())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def greeting(port: int, tls: ServerTls, host: str) -> str:
    context, name = server_context(tls, host)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    try:
        return (await reader.read()).decode().strip()
    finally:
        writer.close()


async def test_a_server_of_a_known_root_is_believed_by_name_and_by_address(roots: str) -> None:
    async with origin("web.example", "127.0.0.1") as port:
        for host in ("web.example", "web.example.", "127.0.0.1"):
            assert await greeting(port, ServerTls(ca=roots), host) == "http/1.1 TLSv1.3"
        assert await greeting(port, ServerTls(ca=roots, server_name="web.example"), "10.0.0.1")


async def test_another_name_another_root_and_the_systems_roots_are_not_enough(roots: str) -> None:
    async with origin("web.example") as port:
        for tls, host in (
            (ServerTls(ca=roots), "other.example"),
            (ServerTls(ca=roots), "127.0.0.1"),
            (ServerTls(ca=roots, server_name="other.example"), "web.example"),
            (ServerTls(), "web.example"),
        ):
            with pytest.raises(ssl.SSLCertVerificationError):
                await greeting(port, tls, host)
    async with origin("web.example", authority=STRANGERS) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await greeting(port, ServerTls(ca=roots), "web.example")


async def test_without_verification_any_server_is_taken() -> None:
    async with origin("web.example", authority=STRANGERS) as port:
        assert await greeting(port, ServerTls(verify=False), "other.example") == "http/1.1 TLSv1.3"


async def test_the_edge_shows_its_own_certificate_where_a_server_asks(roots: str, tmp_path: Path) -> None:
    issued = STRANGERS.issue_cert("edge.example")
    own = Certificate(str(tmp_path / "edge.pem"), str(tmp_path / "edge.key"))
    issued.cert_chain_pems[0].write_to_path(own.chain)
    issued.private_key_pem.write_to_path(own.key)
    async with origin("web.example", clients=STRANGERS) as port:
        tls = ServerTls(ca=roots, certificate=own)
        assert await greeting(port, tls, "web.example") == "http/1.1 TLSv1.3"


class _Listening(asyncio.Protocol):
    """Notes, whenever it hears of the end, whether that was the server's will."""

    def __init__(self) -> None:
        self.wills: list[bool] = []
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tls: ssl.SSLObject = transport.get_extra_info("ssl_object")

    def eof_received(self) -> None:
        self.wills.append(said_goodbye(self._tls))

    def connection_lost(self, exc: Exception | None) -> None:
        self.wills.append(said_goodbye(self._tls))
        self.over.set_result(None)


async def _response_then_end(loose: socket.socket, *, goodbye: bool) -> None:
    """Serve one connection by hand, over memory, to end it in a way that no event loop would."""
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("web.example").configure_cert(context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    with loose:
        loose.setblocking(False)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await loop.sock_sendall(loose, outgoing.read())
                incoming.write(await loop.sock_recv(loose, 65536))
        tls.write(b"part of a response")
        if goodbye:
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.unwrap()
        await loop.sock_sendall(loose, outgoing.read())
        loose.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while await loop.sock_recv(loose, 65536):
                continue


@pytest.mark.parametrize("goodbye", [True, False])
async def test_an_end_that_is_not_the_servers_will_can_be_told(roots: str, goodbye: bool) -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    serving = loop.create_task(_response_then_end(theirs, goodbye=goodbye))
    context, name = server_context(ServerTls(ca=roots), "web.example")
    transport, listening = await loop.create_connection(
        _Listening, sock=ours, ssl=context, server_hostname=name
    )
    await listening.over
    transport.close()
    await serving
    assert listening.wills[0] is goodbye


def test_the_settings_name_wins_over_the_hosts() -> None:
    assert expected_name(ServerTls(), "web.example.") == "web.example"
    assert expected_name(ServerTls(), "fe80::1%eth0") == "fe80::1"
    assert expected_name(ServerTls(server_name="a.example"), "web.example") == "a.example"


def test_an_old_version_and_a_silent_end_are_not_put_up_with() -> None:
    context = context_to_servers(ServerTls())
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert not context.options & ssl.OP_IGNORE_UNEXPECTED_EOF


def test_roots_and_certificates_that_cannot_be_used_are_named(roots: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(TlsError, match=r"missing\.pem: the file of roots for servers does not exist"):
        context_to_servers(ServerTls(ca=missing))
    with pytest.raises(TlsError, match=r"missing\.pem: the private key does not exist"):
        context_to_servers(ServerTls(ca=roots, certificate=Certificate(roots, missing)))
