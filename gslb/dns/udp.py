"""DNS over UDP: a blocking socket and a thread each, far cheaper than an event loop."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from contextlib import suppress
from ipaddress import ip_address

import structlog

from gslb.dns.responder import Responder
from gslb.errors import GslbError
from gslb.fleet import SocketAddress

log = structlog.get_logger(__name__)

LARGEST_DATAGRAM = 4096
"""Bytes read of a query; a longer one is cut, found malformed and answered so."""

_WAKE_UP = struct.pack("ll", 0, 500_000)
"""A struct timeval: half a second, after which an idle thread looks whether it should stop."""

# Python names these constants only on some platforms and versions; the numbers are Linux's.
_IP_PKTINFO = 8
_IPV6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", 49)
_IPV6_PKTINFO = getattr(socket, "IPV6_PKTINFO", 50)
_MTU_DISCOVER = ((socket.IPPROTO_IP, 10), (socket.IPPROTO_IPV6, 23))
_PMTUDISC_OMIT = 5


class UdpListener:
    """Owns one socket. Bound to a wildcard, it answers from the address that it was asked at."""

    def __init__(self, address: SocketAddress, responder: Responder) -> None:
        self.address = address
        self._responder = responder
        self._socket = bind(address, socket.SOCK_DGRAM)
        self._wildcard = ip_address(address.host).is_unspecified
        if self._wildcard:
            _receive_packet_info(self._socket)
        _ignore_path_mtu(self._socket)
        # The kernel's own time-out: Python's would cost a poll before every receive.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _WAKE_UP)
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name=f"udp {address}", daemon=True)

    @property
    def port(self) -> int:
        """The port that was bound, also where the address asked for any."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close the socket after the query at hand."""
        self._stopping = True
        if self._thread.is_alive():
            self._wake()
            self._thread.join()
        self._socket.close()

    def _wake(self) -> None:
        """An empty datagram gets no answer, but ends the wait for one; without it the time-out would."""
        with suppress(OSError), socket.socket(self._socket.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._socket.getsockname())

    def _serve(self) -> None:
        serve = self._serve_wildcard if self._wildcard else self._serve_address
        while not self._stopping:
            try:
                serve()
            except BlockingIOError:
                continue
            except OSError as error:
                # An ICMP error of an earlier answer, or a full buffer: the next query is not to blame.
                log.debug("udp", listener=str(self.address), error=str(error))
            except Exception:
                # The fault is ours; one query is lost to it, and not all that come after it.
                with suppress(Exception):
                    log.exception("a query over udp could not be answered", listener=str(self.address))

    def _serve_address(self) -> None:
        receive, send, respond = self._socket.recvfrom, self._socket.sendto, self._responder.respond
        while not self._stopping:
            packet, source = receive(LARGEST_DATAGRAM)
            answer = respond(packet, source[0], source[1])
            if answer is not None:
                send(answer, source)

    def _serve_wildcard(self) -> None:
        while not self._stopping:
            packet, ancillary, _, source = self._socket.recvmsg(LARGEST_DATAGRAM, 64)
            answer = self._responder.respond(packet, source[0], source[1])
            if answer is not None:
                self._socket.sendmsg([answer], _answer_from(ancillary), 0, source)


def bind(address: SocketAddress, kind: socket.SocketKind) -> socket.socket:
    """A socket bound to `address` in its own family only; raises GslbError that names the remedy."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        bound = socket.socket(family, kind)
    except OSError as error:
        raise GslbError(f"cannot listen on {address}: {error.strerror}") from None
    try:
        if kind == socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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
        bound.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    elif sys.platform == "linux":
        bound.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def _ignore_path_mtu(bound: socket.socket) -> None:
    """Answers are short enough for every path; a forged ICMP "too big" must not have them fragmented,
    for fragments can be forged as well (RFC 9715 3.1). Only Linux can be told so."""
    level, name = _MTU_DISCOVER[bound.family == socket.AF_INET6]
    if sys.platform == "linux":
        with suppress(OSError):
            bound.setsockopt(level, name, _PMTUDISC_OMIT)


def _answer_from(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """The control message that makes the answer leave from where the query arrived."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            # struct in_pktinfo: interface, the local address to send from, and the destination as received.
            return [(level, kind, bytes(4) + data[8:12] + bytes(4))]
        if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            return [(level, kind, data[:20])]
    return []
