"""The one pure function that answers a question (RFC 1034 4.3.2); caches and transports only repeat it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import dnslib

from gslb.dns import rdata
from gslb.dns.extended_error import ALL_DOWN, NOT_AUTHORITATIVE, ExtendedError
from gslb.dns.name import (
    MAXIMUM_NAME_LENGTH,
    Name,
    from_labels,
    from_text,
    is_at_or_below,
    labels_of,
    service_text,
)
from gslb.dns.query import IN
from gslb.dns.rdata import AddressData
from gslb.dns.zone import RRset, Zone
from gslb.dns.zones import Zones
from gslb.policy.base import NOTHING, Consults
from gslb.policy.decision import Decision

NOERROR, SERVFAIL, NXDOMAIN, REFUSED, YXDOMAIN = 0, 2, 3, 5, 6
_LONGEST_CHAIN = 8

Decide = Callable[[str], Decision]
"""From the name of a service to the decision for the client at hand."""


@dataclass(slots=True)
class Reply:
    """What to say, before it is packed. decision: on the service met on the way, if any. decided_at: the name
    it was met at, if the answer is what it decides; None where all clients get the same in every world.

    consulted: what of the client the reply depends on. served: the service and the region that answers.
    needed: how many RRsets of `additional` the answer is useless without (glue, RFC 9471).
    extended_error: what the RCODE alone does not tell. passing: whether the question is one of endlessly
    many that are answered alike, so that to remember it is not worth much.
    """

    rcode: int = NOERROR
    authoritative: bool = True
    answer: list[RRset] = field(default_factory=list)
    authority: list[RRset] = field(default_factory=list)
    additional: list[RRset] = field(default_factory=list)
    decision: Decision | None = None
    decided_at: Name | None = None
    consulted: Consults = NOTHING
    served: tuple[str, str] | None = None
    needed: int = 0
    extended_error: ExtendedError | None = None
    passing: bool = False


def reply_to(name: Name, rtype: int, class_: int, zones: Zones, decide: Decide) -> Reply:
    """Answer one question. name: lower case. `decide` is asked only where a service is met."""
    zone = zones.for_question(name, rtype)
    if zone is None or class_ != IN:
        return Reply(REFUSED, authoritative=False, extended_error=NOT_AUTHORITATIVE, passing=True)
    reply = Reply()
    seen: set[Name] = set()
    while True:
        target = _answer_in_zone(reply, zone, name, rtype, decide)
        if target is None:
            return reply
        seen.add(name)
        name = target
        next_zone = zones.for_question(name, rtype)
        if next_zone is None or name in seen or len(seen) >= _LONGEST_CHAIN:
            return reply
        zone = next_zone


def _answer_in_zone(reply: Reply, zone: Zone, name: Name, rtype: int, decide: Decide) -> Name | None:
    """Add what `zone` has to say; the target if the name is an alias that is to be followed."""
    cut = zone.cut(name)
    if cut is not None and not (rtype == rdata.DS and cut == name):
        _refer(reply, zone, cut)
        return None
    redirect = zone.redirection(name)
    if redirect is not None:
        reply.passing = True
        return _redirect(reply, name, redirect)
    source = zone.source_of(name)
    reply.passing = reply.passing or source != name
    if source is None:
        reply.rcode = NXDOMAIN
        _deny(reply, zone)
        return None
    node = zone.nodes[source]
    service = zone.services.get(source)
    if service is not None and (rtype in (rdata.A, rdata.AAAA) or not node):
        decision = decide(service)
        # What is an alias for every client is one whatever is asked for (RFC 1034 3.6.2).
        if rtype in (rdata.A, rdata.AAAA) or decision.only_hostnames:
            _answer_service(reply, zone, name, rtype, decision)
            return None
    alias = node.get(rdata.CNAME)
    if alias is not None and rtype not in (rdata.CNAME, rdata.ANY):
        reply.answer.append(RRset(name, alias.type, alias.ttl, alias.data))
        return wire_name(alias.data[0].label)
    if rtype == rdata.ANY:
        _answer_any(reply, zone, name, source)
    elif rtype in node:
        found = node[rtype]
        reply.answer.append(RRset(name, rtype, found.ttl, found.data))
    else:
        _deny(reply, zone)
    return None


def _deny(reply: Reply, zone: Zone) -> None:
    """There is no such name, or no such data; there are endlessly many of either."""
    reply.authority.append(zone.negative_soa())
    reply.passing = True


def _redirect(reply: Reply, name: Name, redirect: RRset) -> Name | None:
    """A DNAME above the name (RFC 6672 3.2): it, the CNAME that follows from it, and where that leads."""
    if all(each is not redirect for each in reply.answer):
        reply.answer.append(redirect)  # a chain may come by the same one twice
    target = wire_name(redirect.data[0].label)
    renamed = name[: len(name) - len(redirect.owner)] + target
    if len(renamed) > MAXIMUM_NAME_LENGTH:
        reply.rcode = YXDOMAIN
        return None
    alias = dnslib.CNAME(dnslib.DNSLabel(labels_of(renamed)))
    reply.answer.append(RRset(name, rdata.CNAME, redirect.ttl, (alias,)))
    return renamed


def _answer_service(reply: Reply, zone: Zone, name: Name, rtype: int, decision: Decision) -> None:
    """What has no data holds for every client: which families a service has is a matter of the fleet.

    A hostname ends the chain, also where we could go on: of several services in one answer, each with a
    scope of its own, a resolver could keep none rightly (RFC 7871 7.2.1).
    """
    reply.decision = decision
    version = 6 if rtype == rdata.AAAA else 4
    if version not in decision.versions:
        _deny(reply, zone)
        return
    reply.decided_at, reply.consulted = name, decision.consulted
    if not decision.healthy:
        reply.extended_error = ALL_DOWN
    if decision.chosen is None:
        reply.rcode = SERVFAIL
        return
    if decision.alias is not None:
        target = dnslib.DNSLabel(labels_of(from_text(decision.alias)))
        reply.answer.append(RRset(name, rdata.CNAME, decision.ttl, (dnslib.CNAME(target),)))
        reply.served = (decision.service, decision.chosen)
    else:
        answering = decision.answering[version]
        addresses = dict.fromkeys(address for each in answering for address in each.addresses)
        data = tuple([AddressData(address) for address in addresses])
        reply.answer.append(RRset(name, rtype, decision.ttl, data))
        reply.served = (decision.service, answering[0].region)


def _answer_any(reply: Reply, zone: Zone, name: Name, source: Name) -> None:
    """RFC 8482 4.2: a made-up HINFO says that there is more, and stays small; an alias is told as it is."""
    node = zone.nodes[source]
    alias = node.get(rdata.CNAME)
    if alias is not None:
        reply.answer.append(RRset(name, alias.type, alias.ttl, alias.data))
    elif rdata.HINFO in node:
        found = node[rdata.HINFO]
        reply.answer.append(RRset(name, found.type, found.ttl, found.data))
    elif node or source in zone.services:
        hinfo = dnslib.RD(b"\x07RFC8482\x00")
        reply.answer.append(RRset(name, rdata.HINFO, 3600, (hinfo,)))
    else:
        _deny(reply, zone)


def _refer(reply: Reply, zone: Zone, cut: Name) -> None:
    """A referral with the glue that we have (RFC 1034 4.2.1), first that without which nobody can follow."""
    servers = zone.nodes[cut][rdata.NS]
    if not reply.answer:
        reply.authoritative = False
    reply.authority.append(servers)
    siblings: list[RRset] = []
    for server in servers.data:
        name = wire_name(server.label)
        node = zone.nodes.get(name, {})
        glue = [node[rtype] for rtype in (rdata.A, rdata.AAAA) if rtype in node]
        if is_at_or_below(name, cut):
            reply.additional.extend(glue)
        else:
            siblings.extend(glue)
    reply.needed = len(reply.additional)
    reply.additional.extend(siblings)


def wire_name(label: dnslib.DNSLabel) -> Name:
    """A name of dnslib's in our form."""
    return from_labels(label.label).lower()


def describe(reply: Reply) -> list[str]:
    """The answer section as zone-file lines, for people."""
    return [
        f"{service_text(rrset.owner)}. {rrset.ttl} IN {rdata.type_text(rrset.type)} {data.toZone()}"
        for rrset in reply.answer
        for data in rrset.data
    ]
