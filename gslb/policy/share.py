"""Divides clients into shares by their network, so that splits are stable and their scope is known."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from siphash24 import siphash24

from gslb.geo import transition
from gslb.geo.location import IPAddress
from gslb.geo.prefixes import Prefixes

SHARES = 4096
"""How finely clients are divided; a share is a quarter of a thousandth of them."""

IPV4_PREFIX_LENGTH, IPV6_PREFIX_LENGTH = 24, 48
"""All addresses of such a network are in one share: it is what a site usually gets routed."""

SHARE_KEY = b"gslb/share/v1\x00\x00\x00"
"""Of the SipHash-2-4 that divides the networks; the same everywhere and for ever, or clients would move."""

_TRANSITIONS = Prefixes(6, (), boundaries=transition.NETWORKS)


def share_of(address: IPAddress) -> int:
    """The share (0 to SHARES - 1) of the client's /24 or /48; the same in every process and release.

    An IPv6 address that carries an IPv4 address is in the share of that one.
    """
    if isinstance(address, IPv6Address) and (carried := transition.carried(address)) is not None:
        address = carried[0]
    length = IPV4_PREFIX_LENGTH if isinstance(address, IPv4Address) else IPV6_PREFIX_LENGTH
    network = address.packed[: length // 8]
    digest: bytes = siphash24(network, key=SHARE_KEY).digest()
    return int.from_bytes(digest, "little") % SHARES


def share_prefix_length(address: IPAddress) -> int:
    """Of the largest network around an address that is in one share for sure, in the address's own family."""
    if isinstance(address, IPv4Address):
        return IPV4_PREFIX_LENGTH
    carried = transition.carried(address)
    if carried is not None:
        return carried[1] + IPV4_PREFIX_LENGTH
    # A /48 may hold a transition network, whose addresses are in the shares of what they carry.
    return max(IPV6_PREFIX_LENGTH, _TRANSITIONS.find(int(address))[1])
