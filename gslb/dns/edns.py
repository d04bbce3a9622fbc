"""EDNS(0): the OPT record and the client-subnet option, read strictly and written plainly."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from gslb.errors import WireError
from gslb.geo.location import IPAddress

FORMERR = 1
DO = 0x8000
_CLIENT_SUBNET = 8
_FAMILIES = {1: (4, 32), 2: (16, 128)}


@dataclass(frozen=True, slots=True)
class ClientSubnet:
    """The client-subnet option of a query (RFC 7871 6). address: of the network, host bits zero."""

    address: IPAddress
    source_prefix_length: int


@dataclass(frozen=True, slots=True)
class Edns:
    """What a query's OPT record says (RFC 6891 6.1). payload: bytes the asker can take over UDP."""

    payload: int
    version: int
    do: bool
    client_subnet: ClientSubnet | None = None


def read_opt(payload: int, ttl: int, options: bytes) -> Edns:
    """From the OPT record's class, TTL and data; raises WireError (FORMERR).

    Options and flags that are not known are passed over (RFC 6891 6.1.2).
    """
    subnet: ClientSubnet | None = None
    position = 0
    while position < len(options):
        if position + 4 > len(options):
            raise WireError("an EDNS option is cut short", FORMERR)
        code, length = struct.unpack_from("!HH", options, position)
        position += 4
        if position + length > len(options):
            raise WireError("an EDNS option is longer than its record", FORMERR)
        if code == _CLIENT_SUBNET:
            subnet = _read_client_subnet(options[position : position + length])
        position += length
    return Edns(payload, (ttl >> 16) & 0xFF, bool(ttl & DO), subnet)


def _read_client_subnet(data: bytes) -> ClientSubnet | None:
    """RFC 7871 6: everything that must be so, or FORMERR."""
    if len(data) < 4:
        raise WireError("the client-subnet option is cut short", FORMERR)
    family, source, scope = struct.unpack_from("!HBB", data)
    if family == 0 and source == 0 and scope == 0 and len(data) == 4:
        # No bits, and so no family either: "tell nobody where I am". Nothing is left to act on or to echo.
        return None
    if family not in _FAMILIES:
        raise WireError(f"the client-subnet option has the unknown family {family}", FORMERR)
    size, bits = _FAMILIES[family]
    address = data[4:]
    if source > bits or scope != 0:
        raise WireError("the client-subnet option has an impossible prefix length", FORMERR)
    if len(address) != (source + 7) // 8:
        raise WireError("the client-subnet option's address does not fit its prefix length", FORMERR)
    if source % 8 and address[-1] & (0xFF >> source % 8):
        raise WireError("the client-subnet option has bits beyond its prefix", FORMERR)
    padded = address.ljust(size, b"\x00")
    return ClientSubnet(IPv4Address(padded) if size == 4 else IPv6Address(padded), source)


def write_opt(edns: Edns, payload: int, *, extended_rcode: int = 0, scope: int = 0) -> bytes:
    """The OPT record of an answer to a query with `edns`.

    payload: what we can take. extended_rcode: the upper 8 bits of the RCODE. scope: of the client subnet.
    """
    options = b""
    subnet = edns.client_subnet
    if subnet is not None:
        source = subnet.source_prefix_length
        address = subnet.address.packed[: (source + 7) // 8]
        head = struct.pack(
            "!HHHBB", _CLIENT_SUBNET, 4 + len(address), 1 if subnet.address.version == 4 else 2, source, scope
        )
        options = head + address
    ttl = extended_rcode << 24 | (DO if edns.do else 0)
    return struct.pack("!BHHIH", 0, 41, payload, ttl, len(options)) + options
