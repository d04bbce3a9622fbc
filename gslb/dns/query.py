"""Reads a query packet: just what an authoritative server needs, each violation answered as the RFCs say."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gslb.dns.edns import Edns, read_opt
from gslb.dns.name import Name
from gslb.errors import WireError

FORMERR, NOTIMP = 1, 4
QUERY, NOTIFY = 0, 4
QR, AA, TC, RD = 0x8000, 0x0400, 0x0200, 0x0100
OPCODE_BITS = 0x7800
HEADER_LENGTH = 12
LONGEST_MESSAGE = 65535
IN = 1
IXFR, OPT, SOA, TSIG = 251, 41, 6, 250
_MOST_QUESTIONS = 4
_MOST_ADDITIONALS = 4
_MOST_SALVAGED = 32
_MOST_NOTIFIED = 1


@dataclass(frozen=True, slots=True)
class Query:
    """A query with one question. name: lower case; question: its bytes as they came, for the echo (0x20).

    The question is empty, and the name the root, in a query for nothing but a cookie (RFC 7873 5.4).
    serial: of the SOA that an IXFR brings (RFC 1995 3). tsig_start: where the TSIG record begins, if any.
    """

    id: int
    flags: int
    name: Name
    type: int
    class_: int
    question: bytes
    edns: Edns | None
    serial: int | None = None
    tsig_start: int | None = None

    @property
    def opcode(self) -> int:
        return (self.flags & OPCODE_BITS) >> 11


def is_query(packet: bytes) -> bool:
    """Whether the packet may be answered at all: a runt or a response gets silence (RFC 1035 4.1.1)."""
    return len(packet) >= HEADER_LENGTH and not packet[2] & 0x80


def read_query(packet: bytes) -> Query:
    """Read a packet for which `is_query` holds; raises WireError with the RCODE to answer with."""
    identifier, flags, questions, answers, authorities, additionals = struct.unpack_from("!6H", packet)
    opcode = (flags & OPCODE_BITS) >> 11
    if opcode not in (QUERY, NOTIFY):
        raise WireError(f"opcode {opcode} is not implemented", NOTIMP)
    if questions == 0 and opcode == QUERY:
        return _read_cookie_query(packet, identifier, flags, answers + authorities, additionals)
    if questions != 1:
        raise WireError("a query has one question", FORMERR)
    end = _skip_name(packet, HEADER_LENGTH)
    if end + 4 > len(packet):
        raise WireError("the question is cut short", FORMERR)
    rtype, class_ = struct.unpack_from("!HH", packet, end)
    position, serial = end + 4, None
    if answers or authorities:
        position, serial = _read_sections(packet, position, opcode, rtype, answers, authorities)
    edns, tsig_start, position = _read_additionals(packet, position, additionals)
    if position != len(packet):
        raise WireError("bytes follow the end of the message", FORMERR)
    return Query(
        identifier,
        flags,
        packet[HEADER_LENGTH:end].lower(),
        rtype,
        class_,
        packet[HEADER_LENGTH : end + 4],
        edns,
        serial,
        tsig_start,
    )


def salvage(packet: bytes) -> Query:
    """What can be repeated of a packet that cannot be answered: its question, and whether it spoke EDNS.

    An error without OPT would tell the asker that we know no EDNS (RFC 6891 7); never raises.
    """
    identifier, flags, questions, answers, authorities, additionals = struct.unpack_from("!6H", packet)
    question, edns = b"", None
    try:
        position = HEADER_LENGTH
        if questions <= _MOST_QUESTIONS:
            for _ in range(questions):
                position = _skip_name(packet, position) + 4
            # What stands where the question does means something else to opcodes that we do not know.
            known = (flags & OPCODE_BITS) >> 11 in (QUERY, NOTIFY)
            if questions == 1 and position <= len(packet) and known:
                question = packet[HEADER_LENGTH:position]
            if answers + authorities + additionals > _MOST_SALVAGED:
                additionals = 0  # nobody who speaks EDNS sends such a thing; not to be walked for nothing
            for _ in range(answers + authorities if additionals else 0):
                _, position = _skip_record(packet, position)
            for _ in range(additionals):
                body, following = _skip_record(packet, position)
                rtype, payload, ttl = struct.unpack_from("!HHI", packet, body - 10)
                if rtype == OPT and packet[position] == 0:
                    edns = read_opt(payload, ttl & 0xFF00FFFF, b"")
                    break
                position = following
    except WireError:
        pass
    return Query(identifier, flags, b"\x00", 0, 0, question, edns)


def _read_cookie_query(packet: bytes, identifier: int, flags: int, records: int, additionals: int) -> Query:
    """No question is fine for who only wants a cookie (RFC 7873 5.4)."""
    edns, tsig_start, position = _read_additionals(packet, HEADER_LENGTH, additionals)
    if records or edns is None or edns.cookie is None or position != len(packet):
        raise WireError("a query has one question", FORMERR)
    return Query(identifier, flags, b"\x00", 0, 0, b"", edns, None, tsig_start)


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


def _skip_record(packet: bytes, start: int) -> tuple[int, int]:
    """Where the data of the record at `start` begins, and where the next record does."""
    position = start
    try:
        while length := packet[position]:
            if length >= 0xC0:
                position += 1
                break
            if length > 63:
                raise WireError("a record's name has an unknown label type", FORMERR)
            position += 1 + length
    except IndexError:
        raise WireError("a record is cut short", FORMERR) from None
    body = position + 11
    if body > len(packet):
        raise WireError("a record is cut short", FORMERR)
    following = body + (packet[body - 2] << 8 | packet[body - 1])
    if following > len(packet):
        raise WireError("a record is cut short", FORMERR)
    return body, following


def _read_sections(
    packet: bytes, position: int, opcode: int, rtype: int, answers: int, authorities: int
) -> tuple[int, int | None]:
    """Past the two sections that only a NOTIFY and an IXFR fill; the serial in an IXFR's SOA."""
    if opcode == NOTIFY and answers <= _MOST_NOTIFIED and not authorities:
        return (_skip_record(packet, position)[1] if answers else position), None
    if opcode != QUERY or rtype != IXFR or answers or authorities != 1:
        raise WireError("a query has no answers", FORMERR)
    body, following = _skip_record(packet, position)
    if struct.unpack_from("!H", packet, body - 10)[0] != SOA or following - body < 22:
        raise WireError("the authority section of an IXFR holds one SOA", FORMERR)
    # The serial is the first of the five numbers at the SOA's end, whatever its names are.
    return following, struct.unpack_from("!I", packet, following - 20)[0]


def _read_additionals(packet: bytes, position: int, count: int) -> tuple[Edns | None, int | None, int]:
    """At most one OPT (RFC 6891 6.1.1), and a TSIG as the very last record (RFC 8945 5.1)."""
    if count > _MOST_ADDITIONALS:
        raise WireError("a query has no such additional section", FORMERR)
    edns: Edns | None = None
    tsig_start: int | None = None
    for _ in range(count):
        if tsig_start is not None:
            raise WireError("a TSIG record is not the last one", FORMERR)
        body, following = _skip_record(packet, position)
        rtype, class_, ttl = struct.unpack_from("!HHI", packet, body - 10)
        if rtype == OPT:
            if edns is not None or packet[position] != 0:
                raise WireError("a query has at most one OPT record, and it is owned by the root", FORMERR)
            edns = read_opt(class_, ttl, packet[body:following])
        elif rtype == TSIG:
            tsig_start = position
        position = following
    return edns, tsig_start, position
