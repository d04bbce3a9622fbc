"""DNS over UDP: the sockets of an address, and who answers on them."""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol

from gslb.dns.packet_info import IP_PKTINFO, IPV6_RECVPKTINFO
from gslb.dns.plain_server import PlainServer
from gslb.dns.responder import Responder
from gslb.errors import GslbError
from gslb.fleet import SocketAddress

if TYPE_CHECKING:
    from gslb.dns.compiled_path import CompiledPath

_WAKE_UP = struct.pack("ll", 0, 500_000)
"""A struct timeval: half a second, after which an idle thread looks whether it should stop."""

_MTU_DISCOVER = ((socket.IPPROTO_IP, 10), (socket.IPPROTO_IPV6, 23))
_PMTUDISC_OMIT = 5
_SNDBUFFORCE, _RCVBUFFORCE = 32, 33

BUFFER = 4 << 20
"""Bytes; a query takes some 800 of them, whatever its length."""


class UdpServer(Protocol):
    """What answers on the sockets of a listener, in threads of its own."""

    def start(self) -> None:
        """Raises RuntimeError when there can be no more threads."""

    def stop(self) -> None:
        """Returns when the queries at hand are answered; the sockets are not used any more then."""


class UdpListener:
    """Owns the sockets of one address. Bound to a wildcard, it answers from the address that it was asked at.

    With the compiled loop there may be several, between which the kernel divides the clients.
    """

    def __init__(
        self,
        address: SocketAddress,
        responder: Responder,
        compiled: CompiledPath | None = None,
        *,
        threads: int = 1,
        pinned: bool = False,
    ) -> None:
        """threads: for the compiled loop; plain Python has one, as more would only wait for one another.

        pinned: whether each keeps to a core. Raises GslbError that names the remedy.
        """
        self.address = address
        wildcard = ip_address(address.host).is_unspecified
        self._sockets = _sockets(address, threads if compiled is not None else 1)
        for each in self._sockets:
            if wildcard:
                _receive_packet_info(each)
            _ignore_path_mtu(each)
            _make_room(each)
            # The kernel's own time-out: Python's would cost a poll before every receive.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _WAKE_UP)
        self._server: UdpServer
        if compiled is None:
            self._server = PlainServer(self._sockets[0], wildcard, responder, str(address))
        else:
            from gslb.dns.compiled_server import CompiledServer

            try:
                self._server = CompiledServer(compiled, self._sockets, wildcard, responder, pinned)
            except BaseException:
                self._close()
                raise

    @property
    def port(self) -> int:
        """The port that was bound, also where the address asked for any."""
        return int(self._sockets[0].getsockname()[1])

    @property
    def threads(self) -> int:
        """How many answer."""
        return len(self._sockets)

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        """Close the sockets after the queries at hand."""
        self._server.stop()
        self._close()

    def _close(self) -> None:
        for each in self._sockets:
            each.close()


def _sockets(address: SocketAddress, count: int) -> list[socket.socket]:
    """Bound to one address and port, all of them; raises GslbError."""
    # The first shares with nobody as it is bound: so another program that has the address, perhaps another
    # node, is noticed. Then it lets its likes in.
    bound = [bind(address, socket.SOCK_DGRAM)]
    port = bound[0].getsockname()[1]
    try:
        if count > 1:
            bound[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for _ in range(count - 1):
            bound.append(bind(SocketAddress(address.host, port), socket.SOCK_DGRAM, shared=True))
    except (GslbError, OSError):
        for each in bound:
            each.close()
        raise
    return bound


def bind(address: SocketAddress, kind: socket.SocketKind, *, shared: bool = False) -> socket.socket:
    """A socket bound to `address` in its own family only; raises GslbError that names the remedy.

    shared: whether others of this user may be bound to it too.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        bound = socket.socket(family, kind)
    except OSError as error:
        raise GslbError(f"cannot listen on {address}: {error.strerror}") from None
    try:
        if kind == socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((address.host, address.port))
    except OSError as error:
        bound.close()
        raise GslbError(f"cannot listen on {address}: {error.strerror}", hint=_remedy(error)) from None
    return bound


def _remedy(error: OSError) -> str | None:
    if isinstance(error, PermissionError):
        return "ports below 1024 need the capability CAP_NET_BIND_SERVICE"
    if "in use" in str(error):
        return "another program has it: `ss -lnup` tells which"
    if "assign" in str(error):
        return "this machine does not have the address"
    return None


def _receive_packet_info(bound: socket.socket) -> None:
    if bound.family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    elif sys.platform == "linux":
        bound.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def _make_room(bound: socket.socket) -> None:
    """Queries that arrive while the thread waits for its turn on a busy machine are kept, and not lost; and
    answers that wait for a neighbour's address do not keep all others from being sent.

    As much as the system grants: `net.core.rmem_max` and `wmem_max`, unless the process may go beyond them
    (CAP_NET_ADMIN).
    """
    for forced, usual in ((_RCVBUFFORCE, socket.SO_RCVBUF), (_SNDBUFFORCE, socket.SO_SNDBUF)):
        for option in (forced, usual) if sys.platform == "linux" else (usual,):
            with suppress(OSError):
                bound.setsockopt(socket.SOL_SOCKET, option, BUFFER)
                break


def _ignore_path_mtu(bound: socket.socket) -> None:
    """Answers are short enough for every path; a forged ICMP "too big" must not have them fragmented,
    for fragments can be forged as well (RFC 9715 3.1). Only Linux can be told so."""
    level, name = _MTU_DISCOVER[bound.family == socket.AF_INET6]
    if sys.platform == "linux":
        with suppress(OSError):
            bound.setsockopt(level, name, _PMTUDISC_OMIT)
