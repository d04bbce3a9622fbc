"""What all connections through one listener have in common, and who is at the other end of each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import IPv6Address

from edge.forwarded import Introduction, TrustedProxies
from edge.proxy_protocol import ProxyHeader, write_v1, write_v2
from gslb.fleet import Listener, SocketAddress
from gslb.fleet_edge import TlsSettings


@dataclass(frozen=True, slots=True)
class Peer:
    """Who connected. source, destination: of the connection, or as a PROXY header says; None: not known.

    address: the source's, as text; limits go by it. introduction: how servers are told. tls: the version
    that the connection speaks, such as "1.3", "-" for none.
    """

    address: str
    source: SocketAddress | None
    destination: SocketAddress | None
    introduction: Introduction
    tls: str = "-"

    def preface(self, version: int) -> bytes:
        """The PROXY header that begins a connection to a server."""
        write = write_v1 if version == 1 else write_v2
        return write(self.source, self.destination)


class Entrance:
    """One listener. scheme: what its clients speak. marks: field lines for every response through it."""

    __slots__ = ("__weakref__", "listener", "marks", "scheme", "trusted")

    def __init__(self, listener: Listener, trusted: TrustedProxies, tls: TlsSettings) -> None:
        self.listener = listener
        self.scheme = "https" if listener.tls else "http"
        self.use(trusted, tls)

    def use(self, trusted: TrustedProxies, tls: TlsSettings) -> None:
        """Go by these from now on; who is connected stays introduced as at first."""
        self.trusted = trusted
        self.marks = _strict_transport_security(tls) if self.listener.tls else b""

    @property
    def plain(self) -> bool:
        """Whether connections that nothing is under way on are the compiled path's."""
        return not self.listener.tls and not self.listener.redirect

    def introduced(self, source: tuple[str, int], destination: tuple[str, int]) -> Peer:
        """Who is at the other end of a new connection without TLS. Of each end: host and port."""
        return self._introduce(_socket_address(source), _socket_address(destination), self.scheme, "-")

    def peer(self, transport: asyncio.Transport, header: ProxyHeader | None) -> Peer:
        """Who is at the other end of a new connection. header: the PROXY header that it began with."""
        source = _socket_address(transport.get_extra_info("peername"))
        destination = _socket_address(transport.get_extra_info("sockname"))
        scheme = self.scheme
        if header is not None and header.source is not None:
            source, destination = header.source, header.destination
            if header.client_used_tls:
                scheme = "https"
        secured = transport.get_extra_info("ssl_object")
        tls = (secured.version() or "-").removeprefix("TLSv") if secured is not None else "-"
        return self._introduce(source, destination, scheme, tls)

    def _introduce(
        self, source: SocketAddress | None, destination: SocketAddress | None, scheme: str, tls: str
    ) -> Peer:
        address = source.host if source is not None else ""
        port = destination.port if destination is not None else self.listener.address.port
        introduction = Introduction(address, scheme, port, self.trusted)
        return Peer(address, source, destination, introduction, tls)


def _strict_transport_security(tls: TlsSettings) -> bytes:
    if tls.hsts is None:
        return b""
    below = b"; includeSubDomains" if tls.hsts_subdomains else b""
    return b"Strict-Transport-Security: max-age=%d%b\r\n" % (tls.hsts, below)


def _socket_address(name: object) -> SocketAddress | None:
    """Of a socket's end; IPv4 written inside IPv6 is IPv4. None for a socket without addresses."""
    if not isinstance(name, tuple) or len(name) < 2:
        return None
    host = str(name[0])
    if host.startswith("::ffff:"):
        mapped = IPv6Address(host.partition("%")[0]).ipv4_mapped
        host = str(mapped) if mapped is not None else host
    return SocketAddress(host, int(name[1]))
