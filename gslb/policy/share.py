"""Divides clients into shares by their network, so that splits are stable and their scope is known."""

from __future__ import annotations

from hashlib import blake2b

from gslb.geo.location import IPAddress

SHARES = 4096
"""How finely clients are divided; a share is a quarter of a thousandth of them."""

SHARE_PREFIX_LENGTH = {4: 24, 6: 48}
"""By IP version: all addresses of such a network are in one share (what a site usually gets routed)."""


def share_of(address: IPAddress) -> int:
    """The share (0 to SHARES - 1) of the client's /24 or /48; the same in every process and release."""
    version = address.version
    network = address.packed[: SHARE_PREFIX_LENGTH[version] // 8]
    digest = blake2b(network, digest_size=4, person=b"gslb-share").digest()
    return int.from_bytes(digest, "big") % SHARES
