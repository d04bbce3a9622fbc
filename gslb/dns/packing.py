"""From a reply to bytes: packed once, copied for every query, cut where a message must be short."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gslb.dns.extended_error import ExtendedError
from gslb.dns.message_writer import MessageWriter
from gslb.dns.name import ROOT, Name
from gslb.dns.query import AA, HEADER_LENGTH, LONGEST_MESSAGE, OPCODE_BITS, QR, RD, TC, Query
from gslb.dns.rdata import AddressData
from gslb.dns.reply import Reply
from gslb.dns.zone import RRset

_HEAD = struct.Struct("!6H")
_ADDRESS = struct.Struct("!HHHIH")
_AT_QUESTION = 0xC000 | HEADER_LENGTH
_MOST = LONGEST_MESSAGE - HEADER_LENGTH


@dataclass(frozen=True, slots=True)
class Cut:
    """A place at which an answer may end: after a whole RRset (RFC 2181 9).

    length: bytes that are left of the tail. truncated: whether what is missing must be asked for again.
    """

    length: int
    answers: int
    authorities: int
    additionals: int
    truncated: bool


_NOTHING, _TRUNCATED = Cut(0, 0, 0, 0, False), Cut(0, 0, 0, 0, True)


@dataclass(frozen=True, slots=True)
class Packed:
    """An answer in wire form, ready to be copied: all that follows the question, and the header's flags.

    cuts: where it may end, the longest first; always at least the whole.
    shrinks_at: from then on (seconds since 1970) the TTLs inside are too long. served: the service and the
    region answered, for counting; others may share the answer with that service.
    """

    flags: int
    tail: bytes
    cuts: tuple[Cut, ...]
    shrinks_at: float | None = None
    served: tuple[str, str] | None = None
    extended_error: ExtendedError | None = None


def pack(reply: Reply, name: Name, rtype: int, class_: int) -> Packed:
    """A reply to a question (its name in lower case) in wire form, names compressed against the question."""
    sections = (reply.answer, reply.authority, reply.additional)
    answers, authorities, additionals = (sum(len(each.data) for each in section) for section in sections)
    flags = QR | (AA if reply.authoritative else 0) | reply.rcode
    shrinks_at = (
        reply.decision.shrinks_at if reply.decision is not None and reply.served is not None else None
    )
    if answers and not authorities and not additionals and _addresses_only(reply, name):
        (rrset,) = reply.answer
        tail = b"".join(_address_record(rrset, class_, data) for data in rrset.data)
        cuts: tuple[Cut, ...] = (Cut(len(tail), answers, 0, 0, False), _TRUNCATED)
        return _sendable(Packed(flags, tail, cuts, shrinks_at, reply.served, reply.extended_error))
    writer = MessageWriter()
    writer.write_question(name, rtype, class_)
    start = writer.offset
    for section in sections:
        for rrset in section:
            for data in rrset.data:
                writer.write_record(rrset.owner, rrset.type, class_, rrset.ttl, data)
    wire = bytes(writer.data)
    whole = Cut(len(wire) - start, answers, authorities, additionals, False)
    cuts = tuple(reversed([*_shorter(reply, wire, start), whole]))
    return _sendable(Packed(flags, wire[start:], cuts, shrinks_at, reply.served, reply.extended_error))


def _sendable(packed: Packed) -> Packed:
    """Without what no message has room for, over TCP neither (RFC 1035 4.2.2)."""
    if len(packed.tail) <= _MOST:
        return packed
    cuts = tuple(cut for cut in packed.cuts if cut.length <= _MOST)
    return replace(packed, tail=packed.tail[: cuts[0].length], cuts=cuts)


def _addresses_only(reply: Reply, name: Name) -> bool:
    """Whether all there is to pack are addresses of the question's own name: most answers are so."""
    return (
        len(reply.answer) == 1
        and reply.answer[0].owner == name != ROOT
        and all(isinstance(data, AddressData) for data in reply.answer[0].data)
    )


def _address_record(rrset: RRset, class_: int, data: AddressData) -> bytes:
    packed = data.packed
    return _ADDRESS.pack(_AT_QUESTION, rrset.type, class_, rrset.ttl, len(packed)) + packed


def _shorter(reply: Reply, wire: bytes, start: int) -> Iterator[Cut]:
    """Every cut but the whole, the shortest first.

    Without a whole answer and its authority a message is truncated; without additional records only if they
    are the glue that a referral cannot be followed without (RFC 9471 3.1).
    """
    sections = [reply.answer, reply.authority, reply.additional]
    rrsets = [(section, rrset) for section, members in enumerate(sections) for rrset in members]
    needed = len(reply.answer) + len(reply.authority) + reply.needed
    counts = [0, 0, 0]
    position = start
    for number, (section, rrset) in enumerate(rrsets):
        answers, authorities, additionals = counts
        yield Cut(position - start, answers, authorities, additionals, number < needed)
        for _ in rrset.data:
            position = _after_record(wire, position)
        counts[section] += len(rrset.data)


def _after_record(wire: bytes, position: int) -> int:
    """Past a record of our own making."""
    while length := wire[position]:
        if length >= 0xC0:
            position += 1
            break
        position += 1 + length
    return position + 11 + (wire[position + 9] << 8 | wire[position + 10])


def assemble(query: Query, packed: Packed, opt: bytes, limit: int) -> bytes:
    """The answer to `query` in at most `limit` bytes, as much of it as fits; OPT always does (RFC 6891 7)."""
    room = limit - HEADER_LENGTH - len(query.question) - len(opt)
    for cut in packed.cuts:
        if cut.length <= room:
            break
    flags = packed.flags | (query.flags & (OPCODE_BITS | RD)) | (TC if cut.truncated else 0)
    head = _HEAD.pack(
        query.id,
        flags,
        1 if query.question else 0,
        cut.answers,
        cut.authorities,
        cut.additionals + (1 if opt else 0),
    )
    if cut.length == len(packed.tail):
        return head + query.question + packed.tail + opt
    return head + query.question + packed.tail[: cut.length] + opt


def empty(rcode: int, extended_error: ExtendedError | None = None, *, flags: int = 0) -> Packed:
    """An answer without records: an error, or one that is to be asked for again over TCP."""
    return Packed(QR | flags | rcode, b"", (_NOTHING,), extended_error=extended_error)


def with_opt(message: bytes, opt: bytes) -> bytes:
    """A message of our own making that has no OPT record yet, with one."""
    additionals = int.from_bytes(message[10:12], "big") + 1
    return message[:10] + additionals.to_bytes(2, "big") + message[12:] + opt
