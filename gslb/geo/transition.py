"""IPv6 addresses that carry an IPv4 address: it, and not the relay's prefix, tells where the client is."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

IPV4_MAPPED = IPv6Network("::ffff:0:0/96")  # RFC 4291 2.5.5.2
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 2.1
SIX_TO_FOUR = IPv6Network("2002::/16")  # RFC 3056 2
TEREDO = IPv6Network("2001::/32")  # RFC 4380 4
NETWORKS = (IPV4_MAPPED, NAT64, SIX_TO_FOUR, TEREDO)

_IPV4_MAPPED_TOP = int(IPV4_MAPPED.network_address) >> 32
_NAT64_TOP = int(NAT64.network_address) >> 32
_SIX_TO_FOUR_TOP = int(SIX_TO_FOUR.network_address) >> 112
_TEREDO_TOP = int(TEREDO.network_address) >> 96


def carrier(address: IPv6Address) -> IPv6Network | None:
    """The transition network that `address` lies in; one object for each, so that identity is equality."""
    for network in NETWORKS:
        if address in network:
            return network
    return None


def carried(address: IPv6Address) -> tuple[IPv4Address, int] | None:
    """The IPv4 address that `address` carries, and the number of bits before it; None if it carries none.

    A prefix of length p on the carried address corresponds to one of length offset + p on `address`.
    """
    number = int(address)
    top = number >> 96
    if top >> 16 == _SIX_TO_FOUR_TOP:
        return IPv4Address(number >> 80 & 0xFFFFFFFF), 16
    if top == _TEREDO_TOP:
        # The client's address stands there inverted, so that no NAT on the way rewrites it.
        return IPv4Address(~number & 0xFFFFFFFF), 96
    if number >> 32 in (_IPV4_MAPPED_TOP, _NAT64_TOP):
        return IPv4Address(number & 0xFFFFFFFF), 96
    return None
