"""Which keys a server takes while it starts slowly: more and more, and each stays once it is there."""

from __future__ import annotations

from zlib import crc32

from edge.balance.base import Candidate


def takes(server: Candidate, key: str) -> bool:
    """Whether the key is among those that a server has by now, for methods that hash.

    They are the part `weight / full_weight` of all keys, and the same for all servers.
    """
    # Other bits decide here than on the server.
    number = crc32(key.encode(errors="surrogatepass")) * 0x85EBCA6B & 0xFFFFFFFF
    return number * server.full_weight < server.weight * 2**32
