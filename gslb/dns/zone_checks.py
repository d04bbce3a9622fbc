"""Tells what makes a zone illegal, and in which line, so that every zone that loads can be answered from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from gslb.dns import rdata
from gslb.dns.message_writer import MessageWriter
from gslb.dns.name import Name, ancestors, is_at_or_below, is_wildcard, service_text
from gslb.dns.query import IN, LONGEST_MESSAGE
from gslb.dns.rdata import type_text
from gslb.dns.zonefile import Record
from gslb.errors import Place, Problem

if TYPE_CHECKING:
    from gslb.dns.zone import Zone

_BESIDE_CNAME = {rdata.RRSIG, rdata.NSEC}
_ADDRESSES = (rdata.A, rdata.AAAA)
_UNDEFINED_AT_WILDCARDS = {rdata.NS: "4.2", rdata.DNAME: "4.4", rdata.DS: "4.6"}
_OF_A_CUT = {rdata.NS, rdata.DS, *_BESIDE_CNAME}  # RRSIG and NSEC: a signed zone says of DS that it is true
_SINGLE = {rdata.SOA, rdata.CNAME, rdata.DNAME}
_SHORT = {rdata.A, rdata.AAAA, rdata.NS, rdata.CNAME, rdata.SOA, rdata.MX, rdata.SRV, rdata.PTR, rdata.DS}
_FEW = 100  # records of a short type that are certain to have room in one message
_ROOM_BESIDE = 1024  # bytes of a message that are left for OPT and a signature
_NO_ALIAS = {rdata.NS: "RFC 2181 10.3", rdata.MX: "RFC 2181 10.3", rdata.SRV: "RFC 2782"}


def check_zone(
    zone: Zone,
    records: Sequence[Record],
    start: Place,
    *,
    aliases: Collection[str] = (),
    children: Collection[Name] = (),
    complete: bool = True,
) -> list[Problem]:
    """Everything wrong with a zone made of `records`; problems that have no line are told at `start`.

    aliases: services that may be answered by a CNAME. children: apexes of other zones that lie in this one.
    complete: whether all lines could be read; if not, nothing is said of what is missing.
    """
    checks = _Checks(zone, records, start, aliases, children)
    if complete:
        checks.apex()
    for record in records:
        checks.conflicts(record)
        checks.placement(record)
        if record.type in _NO_ALIAS and not checks.is_occluded(record.owner):
            checks.target(record, complete)
        if record.type == rdata.DS and complete and not is_wildcard(record.owner):
            checks.delegation_signer(record)
    checks.services()
    checks.sizes()
    return checks.problems


class _Checks:
    def __init__(
        self,
        zone: Zone,
        records: Sequence[Record],
        start: Place,
        aliases: Collection[str],
        children: Collection[Name],
    ) -> None:
        self.problems: list[Problem] = []
        self._zone = zone
        self._start = start
        self._aliases = aliases
        self._children = frozenset(children)
        self._name_servers = {
            rdata.target(rdata.NS, record.data) for record in records if record.type == rdata.NS
        }
        self._above_children = {
            above for child in self._children for above in ancestors(child)
        } - self._children
        self._told: set[tuple[Name, str]] = set()
        # Backwards, so that the first record of each RRset stays.
        self._places = {(record.owner, record.type): record.place for record in reversed(records)}

    def apex(self) -> None:
        """A zone has one SOA, and NS records, at its apex (RFC 1035 5.2)."""
        name = service_text(self._zone.apex)
        at_apex = self._zone.nodes.get(self._zone.apex, {})
        if rdata.SOA not in at_apex:
            self._tell_start(f"the zone {name} has no SOA record", "add `@ IN SOA …` at its apex")
        if rdata.NS not in at_apex:
            self._tell_start(f"the zone {name} has no NS record at its apex", "add `@ IN NS ns1`")

    def conflicts(self, record: Record) -> None:
        """What cannot stand beside what else is at its name."""
        node = self._zone.nodes[record.owner]
        at_apex = record.owner == self._zone.apex
        several = record.type in _SINGLE and record.data != node[record.type].data[0]
        if record.type == rdata.CNAME:
            others = sorted(type_text(other) for other in node if other not in {rdata.CNAME, *_BESIDE_CNAME})
            if others:
                self._tell(
                    record, f"{_owner(record)} has a CNAME beside {', '.join(others)}", "a CNAME stands alone"
                )
            if several:
                self._tell(record, f"{_owner(record)} has more than one CNAME", "keep one")
        elif record.type == rdata.DNAME:
            if several:
                self._tell(record, f"{_owner(record)} has more than one DNAME", "keep one (RFC 6672 2.4)")
            if rdata.NS in node and not at_apex:
                hint = "the NS records give it away (RFC 6672 2.3)"
                self._tell(record, f"{_owner(record)} has a DNAME beside NS", hint)
        elif record.type == rdata.SOA and at_apex and several:
            count = len(node[rdata.SOA].data)
            self._tell(record, f"the zone {_owner(record)} has {count} SOA records", "keep one")
        service = self._zone.services.get(record.owner)
        if service is not None:
            self._beside_service(record, service)

    def _beside_service(self, record: Record, service: str) -> None:
        kind = type_text(record.type)
        if record.type in (*_ADDRESSES, rdata.CNAME):
            message = f"{_owner(record)} is a service, and has a static {kind} record as well"
            self._tell(record, message, "remove the record, or the service")
        elif service in self._aliases and record.owner != self._zone.apex:
            # At the apex there is always other data, so the configuration refuses it for every zone.
            message = f"{_owner(record)} is a service that a hostname may answer, and has {kind} records too"
            self._tell(record, message, "a CNAME stands alone: remove them, or the region with the hostname")

    def placement(self, record: Record) -> None:
        """What cannot stand where it stands."""
        if record.type == rdata.SOA and record.owner != self._zone.apex:
            self._tell(record, f"{_owner(record)} has an SOA record, but is not the zone's apex", "remove it")
        if is_wildcard(record.owner) and record.type in _UNDEFINED_AT_WILDCARDS:
            section = _UNDEFINED_AT_WILDCARDS[record.type]
            what = f"the wildcard {_owner(record)} has a record of type {type_text(record.type)}"
            message = f"{what}, which no RFC gives a meaning"
            self._tell(record, message, f"write it at each name that is meant (RFC 4592 {section})")
        self._beside_children(record)
        redirect = self._zone.redirection(record.owner)
        if redirect is not None:
            message = f"{_owner(record)} lies below the DNAME of {service_text(redirect.owner)}"
            self._tell(record, message, "nothing may (RFC 6672 2.4)")

    def _beside_children(self, record: Record) -> None:
        """Of what belongs to a zone of its own, only the delegation and glue have a meaning here."""
        child = self._child_of(record.owner)
        if child is None:
            self._above_a_child(record)
        elif record.owner == child and record.type in _OF_A_CUT:
            return
        elif record.type not in _ADDRESSES or record.owner not in self._name_servers:
            message = f"{_owner(record)} lies in the zone {service_text(child)}, which answers for it"
            hint = "move the record there; here stand only NS and DS, and the addresses of name servers"
            self._tell(record, message, hint)

    def _above_a_child(self, record: Record) -> None:
        if record.type == rdata.DNAME and record.owner in self._above_children:
            below = (child for child in self._children if is_at_or_below(child, record.owner))
            message = f"{_owner(record)} has a DNAME, and the zone {service_text(min(below))} lies below it"
            self._tell(record, message, "nothing may (RFC 6672 2.4)")

    def is_occluded(self, owner: Name) -> bool:
        """Whether the owner lies below a cut, so that its data is at most glue."""
        cut = self._zone.cut(owner)
        return cut is not None and cut != owner

    def target(self, record: Record, complete: bool) -> None:
        """The target of NS, MX or SRV is no alias, and that of NS has an address, as far as we can know."""
        target = rdata.target(record.type, record.data)
        if target is None or not is_at_or_below(target, self._zone.apex):
            return
        if self._child_of(target) is not None:
            return
        cut = self._zone.cut(target)
        if cut is None:
            self._authoritative_target(record, target, complete)
        elif complete and record.type == rdata.NS and cut == record.owner and not self._has_address(target):
            what = f"the name server {service_text(target)}"
            message = f"{what} lies in the zone that it serves, and has no address"
            hint = "nobody could find it: add its A or AAAA record here as glue (RFC 1034 4.2.1)"
            self._tell(record, message, hint)

    def _authoritative_target(self, record: Record, target: Name, complete: bool) -> None:
        redirect = self._zone.redirection(target)
        source = self._zone.source_of(target) if redirect is None else None
        reason = _NO_ALIAS[record.type]
        if redirect is not None:
            message = f"{_target(record, target)} lies below the DNAME of {service_text(redirect.owner)}"
            self._tell(record, message, f"name no alias ({reason})")
        elif source is not None and rdata.CNAME in self._zone.nodes[source]:
            self._tell(
                record,
                f"{_target(record, target)} is an alias (CNAME)",
                f"name what the alias stands for ({reason})",
            )
        elif source is not None and self._zone.services.get(source) in self._aliases:
            self._tell(
                record,
                f"{_target(record, target)} is a service that a hostname may answer",
                f"name no alias ({reason})",
            )
        elif complete and record.type == rdata.NS and (source is None or not self._has_address(source)):
            message = f"the name server {service_text(target)} has no address in the zone"
            self._tell(
                record, message, "add its A or AAAA record, or correct the name (a final dot missing?)"
            )

    def _child_of(self, name: Name) -> Name | None:
        """The zone of its own that `name` lies in, if any: the lowest one."""
        return next((above for above in ancestors(name) if above in self._children), None)

    def _has_address(self, name: Name) -> bool:
        node = self._zone.nodes.get(name, {})
        return name in self._zone.services or any(rtype in node for rtype in _ADDRESSES)

    def delegation_signer(self, record: Record) -> None:
        """DS belongs to a delegation, on the side of the zone above (RFC 4035 2.4)."""
        if record.owner == self._zone.apex:
            self._tell(
                record,
                f"{_owner(record)} is the zone's apex, and has a DS record",
                "it belongs in the zone above",
            )
        elif rdata.NS not in self._zone.nodes[record.owner] and not self.is_occluded(record.owner):
            hint = "add the NS records (RFC 4035 2.4)"
            self._tell(record, f"{_owner(record)} has a DS record and no NS record", hint)

    def services(self) -> None:
        """A service at or below a cut, or below a DNAME, would never be answered."""
        for owner, name in self._zone.services.items():
            cut = self._zone.cut(owner)
            redirect = self._zone.redirection(owner)
            if cut is not None:
                place = self._places[cut, rdata.NS]
                message = f"the service {name} lies at or below the zone cut {service_text(cut)}"
                hint = "the NS records there give the name away; remove them, or the service"
                self.problems.append(Problem(place, message, hint))
            elif redirect is not None:
                place = self._places[redirect.owner, rdata.DNAME]
                message = f"the service {name} lies below the DNAME of {service_text(redirect.owner)}"
                self.problems.append(Problem(place, message, "remove the DNAME, or the service"))

    def sizes(self) -> None:
        """What no message can hold would never be answered whole (RFC 1035 4.2.2, RFC 2181 5)."""
        for (owner, rtype), place in self._places.items():
            rrset = self._zone.nodes[owner][rtype]
            if rtype in _SHORT and len(rrset.data) <= _FEW:
                continue
            writer = MessageWriter()
            writer.write_question(owner, rtype, IN)
            for data in rrset.data:
                writer.write_record(owner, rtype, IN, rrset.ttl, data)
            if writer.offset > LONGEST_MESSAGE - _ROOM_BESIDE:
                what = f"the {type_text(rtype)} records of {service_text(owner)}"
                message = f"{what} make an answer of {writer.offset} bytes, and no message has room for it"
                hint = f"{LONGEST_MESSAGE - _ROOM_BESIDE} bytes are the most: spread them over several names"
                self.problems.append(Problem(place, message, hint))

    def _tell_start(self, message: str, hint: str) -> None:
        self.problems.append(Problem(self._start, message, hint))

    def _tell(self, record: Record, message: str, hint: str) -> None:
        """Once for each name, though several of its records may be at fault."""
        if (record.owner, message) not in self._told:
            self._told.add((record.owner, message))
            self.problems.append(Problem(record.place, message, hint))


def _owner(record: Record) -> str:
    return service_text(record.owner)


def _target(record: Record, target: Name) -> str:
    return f"the target {service_text(target)} of the {type_text(record.type)} record"
