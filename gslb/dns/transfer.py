"""Zone transfers out: a zone as a stream of messages (AXFR, RFC 5936), and what IXFR gets (RFC 1995)."""

from __future__ import annotations

from collections.abc import Iterator

from gslb.dns import rdata
from gslb.dns.message_writer import MessageWriter
from gslb.dns.name import Name
from gslb.dns.query import AA, IN, QR, RD, Query
from gslb.dns.rdata import RecordData
from gslb.dns.reply import NOERROR, SERVFAIL, Decide, reply_to
from gslb.dns.zone import RRset, Zone
from gslb.dns.zones import Zones
from gslb.fleet import TransferRule
from gslb.geo.location import IPAddress

MESSAGE_BYTES = 0x3FFF
"""A message's length unless one record alone is longer: as far as a pointer reaches (RFC 1035 4.1.4)."""

_LONGEST_MESSAGE = 65535 - 1024
"""Bytes of a message with one record, which leaves room for OPT and a signature."""


def may_transfer(rules: tuple[TransferRule, ...], source: IPAddress, key_name: str | None) -> bool:
    """Whether any rule lets `source` have the zone; key_name: of the key it signed with, None for no key."""
    address = source.ipv4_mapped or source if source.version == 6 else source
    return any(
        (rule.network is None or address in rule.network) and (rule.key is None or rule.key == key_name)
        for rule in rules
    )


def transfer_messages(query: Query, zone: Zone, decide: Decide) -> Iterator[bytes]:
    """The messages that answer an AXFR or IXFR for `zone`, each made when it is asked for; unsigned, no OPT.

    `decide` is asked for every service: a transfer carries what the client would be answered now. No history
    is kept, so IXFR gets the whole zone (RFC 1995 4), or the SOA alone if the client is up to date.
    """
    soa_suffices = query.type == rdata.IXFR and _is_current(query.serial, zone)
    rrsets = iter((zone.soa,)) if soa_suffices else _whole(zone, decide)
    message = _Message(query, first=True)
    try:
        for rrset in rrsets:
            for data in rrset.data:
                if message.add(rrset, data):
                    continue
                yield message.wire()
                message = _Message(query, first=False)
                if not message.add(rrset, data):
                    raise _BrokenOffError
        yield message.wire()
    except _BrokenOffError:
        # RFC 5936 2.2: an error ends a transfer, also one that has begun.
        yield _Message(query, first=True, rcode=SERVFAIL).wire()


def _is_current(serial: int | None, zone: Zone) -> bool:
    """Whether the client's copy is as new as the zone, or newer (RFC 1982 3.2)."""
    ours: int = zone.soa.data[0].times[0]
    return serial is not None and (serial == ours or 0 < (serial - ours) % 2**32 < 2**31)


def _whole(zone: Zone, decide: Decide) -> Iterator[RRset]:
    """Everything between two copies of the SOA; also what lies below a cut (RFC 5936 3.2, 3.5)."""
    yield zone.soa
    for owner, node in zone.nodes.items():
        for rrset in node.values():
            if rrset.type != rdata.SOA:
                yield rrset
        if owner in zone.services:
            yield from _service(zone, owner, decide)
    yield zone.soa


def _service(zone: Zone, owner: Name, decide: Decide) -> Iterator[RRset]:
    """What a query for either type would be answered: addresses of both families, or the same alias twice."""
    zones = Zones({zone.apex: zone})
    found: dict[int, RRset] = {}
    for rtype in (rdata.A, rdata.AAAA):
        reply = reply_to(owner, rtype, IN, zones, decide)
        if reply.rcode == SERVFAIL:
            # Left out, it would not exist for the secondary's clients until the next serial.
            raise _BrokenOffError
        for rrset in reply.answer:
            found.setdefault(rrset.type, rrset)
    yield from found.values()


class _BrokenOffError(Exception):
    """What is left cannot be told."""


class _Message:
    """One message of a transfer while it is filled; only the first repeats the question (RFC 5936 2.2.2)."""

    __slots__ = ("_answers", "_flags", "_id", "_questions", "_writer")

    def __init__(self, query: Query, *, first: bool, rcode: int = NOERROR) -> None:
        self._id = query.id
        self._flags = QR | AA | (query.flags & RD) | rcode
        self._questions = int(first)
        self._answers = 0
        self._writer = MessageWriter()
        if first:
            self._writer.append(query.question)

    def add(self, rrset: RRset, data: RecordData) -> bool:
        """Add a record; False, and nothing was added, if the message would become too long."""
        writer = self._writer
        start = writer.offset
        writer.write_record(rrset.owner, rrset.type, IN, rrset.ttl, data)
        if writer.offset > (MESSAGE_BYTES if self._answers else _LONGEST_MESSAGE):
            writer.cut(start)
            return False
        self._answers += 1
        return True

    def wire(self) -> bytes:
        self._writer.update(0, "!6H", self._id, self._flags, self._questions, self._answers, 0, 0)
        return bytes(self._writer.data)
