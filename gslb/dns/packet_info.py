"""At which of the machine's addresses a datagram arrived, and from which its answer is to leave."""

from __future__ import annotations

import socket

# Python names these constants only on some platforms and versions; the numbers are Linux's.
IP_PKTINFO = 8
IPV6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", 49)
IPV6_PKTINFO = getattr(socket, "IPV6_PKTINFO", 50)


def answer_from(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """The control message that makes the answer leave from where the query arrived."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
            # struct in_pktinfo: interface, the local address to send from, and the destination as received.
            return [(level, kind, bytes(4) + data[8:12] + bytes(4))]
        if level == socket.IPPROTO_IPV6 and kind == IPV6_PKTINFO:
            return [(level, kind, data[:20])]
    return []
