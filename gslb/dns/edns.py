"""EDNS(0): the OPT record and its options, read strictly and written plainly."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from gslb.dns.extended_error import ExtendedError
from gslb.errors import WireError
from gslb.geo.location import IPAddress

FORMERR = 1
DO = 0x8000
NSID, CLIENT_SUBNET, COOKIE, TCP_KEEPALIVE, EXTENDED_ERROR = 3, 8, 10, 11, 15
_FAMILIES = {1: (4, 32), 2: (16, 128)}


@dataclass(frozen=True, slots=True)
class ClientSubnet:
    """The client-subnet option of a query (RFC 7871 6). address: of the network, host bits zero."""

    address: IPAddress
    source_prefix_length: int


@dataclass(frozen=True, slots=True)
class Edns:
    """What a query's OPT record says (RFC 6891 6.1). payload: bytes the asker can take over UDP.

    client_subnet, cookie: the options' data as they came: who does not want them must not mind their form.
    nsid, tcp_keepalive: whether they were asked for.
    """

    payload: int
    version: int
    do: bool
    client_subnet: bytes | None = None
    cookie: bytes | None = None
    nsid: bool = False
    tcp_keepalive: bool = False


def read_opt(payload: int, ttl: int, options: bytes) -> Edns:
    """From the OPT record's class, TTL and data; raises WireError (FORMERR).

    Options and flags that are not known are passed over (RFC 6891 6.1.2); of an option that is there twice
    the first counts. Of another version than 0 nothing but the version can be understood (6.1.3).
    """
    version, do = (ttl >> 16) & 0xFF, bool(ttl & DO)
    if version or not options:
        return Edns(payload, version, do)
    subnet: bytes | None = None
    cookie: bytes | None = None
    nsid = tcp_keepalive = False
    position = 0
    while position < len(options):
        if position + 4 > len(options):
            raise WireError("an EDNS option is cut short", FORMERR)
        code, length = struct.unpack_from("!HH", options, position)
        position += 4
        if position + length > len(options):
            raise WireError("an EDNS option is longer than its record", FORMERR)
        if code == CLIENT_SUBNET and subnet is None:
            subnet = options[position : position + length]
        elif code == COOKIE and cookie is None:
            cookie = options[position : position + length]
        elif code == NSID:
            nsid = True
        elif code == TCP_KEEPALIVE:
            tcp_keepalive = True
        position += length
    return Edns(payload, version, do, subnet, cookie, nsid, tcp_keepalive)


def read_client_subnet(data: bytes) -> ClientSubnet | None:
    """From the option's data; None for one that says nothing. Raises WireError (FORMERR) unless everything
    is as RFC 7871 6 and 7.1.2 want it."""
    if len(data) < 4:
        raise WireError("the client-subnet option is cut short", FORMERR)
    family, source, scope = struct.unpack_from("!HBB", data)
    if family == 0 and source == 0 and scope == 0 and len(data) == 4:
        # No bits, and so no family either: "tell nobody where I am". `dig +subnet=0` says it so. Nothing is
        # left to act on, nor to echo: not every reader takes an answer with a family that there is not.
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


def option(code: int, data: bytes) -> bytes:
    """One option, as it stands in an OPT record."""
    return struct.pack("!HH", code, len(data)) + data


def client_subnet_option(subnet: ClientSubnet, scope: int) -> bytes:
    """A query's client subnet sent back, with the scope for which the answer holds (RFC 7871 7.2.1)."""
    source = subnet.source_prefix_length
    address = subnet.address.packed[: (source + 7) // 8]
    family = 1 if subnet.address.version == 4 else 2
    return struct.pack("!HHHBB", CLIENT_SUBNET, 4 + len(address), family, source, scope) + address


def extended_error_option(error: ExtendedError) -> bytes:
    """RFC 8914 2."""
    return option(EXTENDED_ERROR, struct.pack("!H", error.info_code) + error.text.encode())


def tcp_keepalive_option(seconds: float) -> bytes:
    """How long we leave an idle connection open, in tenths of a second (RFC 7828 3.1)."""
    return option(TCP_KEEPALIVE, struct.pack("!H", min(int(seconds * 10), 0xFFFF)))


def write_opt(payload: int, *, do: bool, options: bytes = b"", extended_rcode: int = 0) -> bytes:
    """The OPT record of an answer. payload: what we can take. extended_rcode: the RCODE's upper 8 bits."""
    return (
        struct.pack("!BHHIH", 0, 41, payload, extended_rcode << 24 | (DO if do else 0), len(options))
        + options
    )
