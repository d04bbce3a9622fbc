"""At which of the machine's addresses a datagram arrived, so that its answer leaves from there."""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_address
from typing import Any

Where = tuple[Any, ...]
"""A socket's address, as the socket module has it."""

Ancillary = list[tuple[int, int, bytes]]

# Python names these constants only on some platforms and versions; the numbers are Linux's.
_IP_PKTINFO = 8
_IPV6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", 49)
_IPV6_PKTINFO = getattr(socket, "IPV6_PKTINFO", 50)


def tell_arrival(bound: socket.socket) -> bool:
    """Have the kernel tell, where that is in doubt; whether it is."""
    if not ip_address(bound.getsockname()[0].partition("%")[0]).is_unspecified:
        return False
    if bound.family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    elif sys.platform == "linux":
        bound.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    return True


def answer_from(received: Ancillary) -> Ancillary:
    """What has to go with the answer; empty where there is no doubt."""
    for level, kind, data in received:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            # struct in_pktinfo: interface, the local address to send from, and the destination as received.
            return [(level, kind, bytes(4) + data[8:12] + bytes(4))]
        if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO):
            return [(level, kind, data[:20])]
    return []
