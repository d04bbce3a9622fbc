"""Reads a query packet: just what an authoritative server needs, each violation answered as the RFCs say."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gslb.dns.edns import Edns, read_opt
from gslb.dns.name import Name
from gslb.errors import WireError

FORMERR, NOTIMP = 1, 4
QR, TC, RD = 0x8000, 0x0200, 0x0100
HEADER_LENGTH = 12
_OPT = 41


@dataclass(frozen=True, slots=True)
class Query:
    """A query with one question. name: lower case; question: its bytes as they came, for the echo (0x20)."""

    id: int
    rd: bool
    name: Name
    type: int
    class_: int
    question: bytes
    edns: Edns | None


def is_query(packet: bytes) -> bool:
    """Whether the packet may be answered at all: a runt or a response gets silence (RFC 1035 4.1.1)."""
    return len(packet) >= HEADER_LENGTH and not packet[2] & 0x80


def read_query(packet: bytes) -> Query:
    """Read a packet for which `is_query` holds; raises WireError with the RCODE to answer with."""
    identifier, flags, questions, answers, authorities, additionals = struct.unpack_from("!6H", packet)
    if flags & 0x7800:
        raise WireError(f"opcode {flags >> 11 & 15} is not implemented", NOTIMP)
    if questions != 1 or answers or authorities or additionals > 2:
        raise WireError("a query has one question and no answers", FORMERR)
    end = _skip_name(packet, HEADER_LENGTH)
    if end + 4 > len(packet):
        raise WireError("the question is cut short", FORMERR)
    rtype, class_ = struct.unpack_from("!HH", packet, end)
    edns, position = _read_additionals(packet, end + 4, additionals)
    if position != len(packet):
        raise WireError("bytes follow the end of the message", FORMERR)
    return Query(
        identifier,
        bool(flags & RD),
        packet[HEADER_LENGTH:end].lower(),
        rtype,
        class_,
        packet[HEADER_LENGTH : end + 4],
        edns,
    )


def _skip_name(packet: bytes, start: int) -> int:
    """Past an uncompressed name. Lowering the case of its bytes is safe: lengths are below `A`."""
    position = start
    try:
        while length := packet[position]:
            if length > 63:
                raise WireError("the question's name is compressed, or has an unknown label type", FORMERR)
            position += 1 + length
    except IndexError:
        raise WireError("the question's name is cut short", FORMERR) from None
    if position + 1 - start > 255:
        raise WireError("the question's name is longer than 255 bytes", FORMERR)
    return position + 1


def _read_additionals(packet: bytes, position: int, count: int) -> tuple[Edns | None, int]:
    """At most one OPT (RFC 6891 6.1.1); a TSIG or SIG(0) after it is passed over, unsigned we answer."""
    edns: Edns | None = None
    for _ in range(count):
        start = position
        position = _skip_name(packet, position)
        if position + 10 > len(packet):
            raise WireError("the additional section is cut short", FORMERR)
        rtype, class_, ttl, length = struct.unpack_from("!HHIH", packet, position)
        position += 10
        if position + length > len(packet):
            raise WireError("the additional section is cut short", FORMERR)
        if rtype == _OPT:
            if edns is not None or packet[start] != 0:
                raise WireError("a query has at most one OPT record, and it is owned by the root", FORMERR)
            edns = read_opt(class_, ttl, packet[position : position + length])
        position += length
    return edns, position
