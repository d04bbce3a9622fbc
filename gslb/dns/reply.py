"""The one pure function that answers a question (RFC 1034 4.3.2); caches and transports only repeat it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import dnslib

from gslb.dns import rdata
from gslb.dns.name import Name, from_text, labels_of, service_text
from gslb.dns.rdata import RecordData
from gslb.dns.zone import RRset, Zone
from gslb.dns.zones import Zones
from gslb.policy.decision import Decision

NOERROR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 2, 3, 4, 5
IN, ANY_CLASS = 1, 255
_LONGEST_CHAIN = 8
_TRANSFERS = {rdata.AXFR, rdata.IXFR}

Decide = Callable[[str], Decision]
"""From the name of a service to the decision for the client at hand."""


@dataclass(slots=True)
class Reply:
    """What to say, before it is packed. decisions: made on the way, one for each service met."""

    rcode: int = NOERROR
    authoritative: bool = True
    answer: list[RRset] = field(default_factory=list)
    authority: list[RRset] = field(default_factory=list)
    additional: list[RRset] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)


def reply_to(name: Name, rtype: int, class_: int, zones: Zones, decide: Decide) -> Reply:
    """Answer one question. name: lower case. `decide` is asked only where a service is met."""
    zone = zones.find(name)
    if zone is None or class_ not in (IN, ANY_CLASS) or rtype in _TRANSFERS:
        return Reply(REFUSED, authoritative=False)
    reply = Reply()
    seen: set[Name] = set()
    while True:
        target = _answer_in_zone(reply, zone, name, rtype, decide)
        if target is None:
            return reply
        seen.add(name)
        name = target
        next_zone = zones.find(name)
        if next_zone is None or name in seen or len(seen) > _LONGEST_CHAIN:
            return reply
        zone = next_zone


def _answer_in_zone(reply: Reply, zone: Zone, name: Name, rtype: int, decide: Decide) -> Name | None:
    """Add what `zone` has to say; the target if the name is an alias that is to be followed."""
    cut = zone.cut(name)
    if cut is not None and not (rtype == rdata.DS and cut == name):
        _refer(reply, zone, cut)
        return None
    source = zone.source_of(name)
    if source is None:
        reply.rcode = NXDOMAIN
        reply.authority.append(zone.negative_soa())
        return None
    node = zone.nodes[source]
    service = zone.services.get(source)
    if service is not None and rtype in (rdata.A, rdata.AAAA):
        _answer_service(reply, zone, name, rtype, decide(service))
        return None
    alias = node.get(rdata.CNAME)
    if alias is not None and rtype not in (rdata.CNAME, rdata.ANY):
        reply.answer.append(RRset(name, alias.type, alias.ttl, alias.data))
        return from_text(str(alias.data[0].label)).lower()
    if rtype == rdata.ANY:
        _answer_any(reply, zone, name, source)
    elif rtype in node:
        found = node[rtype]
        reply.answer.append(RRset(name, rtype, found.ttl, found.data))
    else:
        reply.authority.append(zone.negative_soa())
    return None


def _answer_service(reply: Reply, zone: Zone, name: Name, rtype: int, decision: Decision) -> None:
    reply.decisions.append(decision)
    if decision.chosen is None:
        reply.rcode = SERVFAIL
        return
    data = tuple(address_data(rtype, address.packed) for address in decision.addresses_of(rtype))
    if data:
        reply.answer.append(RRset(name, rtype, decision.ttl, data))
    else:
        reply.authority.append(zone.negative_soa())


def address_data(rtype: int, packed: bytes) -> RecordData:
    """An address as A or AAAA data."""
    return dnslib.A(tuple(packed)) if rtype == rdata.A else dnslib.AAAA(tuple(packed))


def _answer_any(reply: Reply, zone: Zone, name: Name, source: Name) -> None:
    """RFC 8482 4.2: a made-up HINFO says that there is more, and stays small."""
    node = zone.nodes[source]
    if node or source in zone.services:
        hinfo = dnslib.RD(b"\x07RFC8482\x00")
        reply.answer.append(RRset(name, rdata.HINFO, 3600, (hinfo,)))
    else:
        reply.authority.append(zone.negative_soa())


def _refer(reply: Reply, zone: Zone, cut: Name) -> None:
    """A referral with the glue that we have (RFC 1034 4.2.1); authority ends here."""
    servers = zone.nodes[cut][rdata.NS]
    if not reply.answer:
        reply.authoritative = False
    reply.authority.append(servers)
    for server in servers.data:
        node = zone.nodes.get(from_text(str(server.label)).lower(), {})
        reply.additional.extend(node[rtype] for rtype in (rdata.A, rdata.AAAA) if rtype in node)


def pack(reply: Reply, name: Name, rtype: int, class_: int) -> bytes:
    """The whole message through dnslib: ID 0, RD clear, no OPT; the question in lower case."""
    header = dnslib.DNSHeader(id=0, qr=1, aa=int(reply.authoritative), ra=0, rd=0, rcode=reply.rcode)
    question = dnslib.DNSQuestion(dnslib.DNSLabel(labels_of(name)), rtype, class_)
    record = dnslib.DNSRecord(header, q=question)
    for rrset in reply.answer:
        record.add_answer(*_records(rrset))
    for rrset in reply.authority:
        record.add_auth(*_records(rrset))
    for rrset in reply.additional:
        record.add_ar(*_records(rrset))
    return bytes(record.pack())


def _records(rrset: RRset) -> list[dnslib.RR]:
    owner = dnslib.DNSLabel(labels_of(rrset.owner))
    return [dnslib.RR(owner, rrset.type, IN, rrset.ttl, data) for data in rrset.data]


def describe(reply: Reply) -> list[str]:
    """The answer section as zone-file lines, for people."""
    return [
        f"{service_text(rrset.owner)}. {rrset.ttl} IN {rdata.type_text(rrset.type)} {data.toZone()}"
        for rrset in reply.answer
        for data in rrset.data
    ]
