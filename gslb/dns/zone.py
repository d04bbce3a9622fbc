"""One zone's static data and the names of its services, checked once and then only looked up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from gslb.dns import rdata
from gslb.dns.name import Name, ancestors, from_text, is_at_or_below, parent, service_text
from gslb.dns.rdata import RecordData, type_text
from gslb.dns.zonefile import Record, read_zone_text
from gslb.errors import Place, Problem, ZoneError
from gslb.fleet import ZoneSource

_BESIDE_CNAME = {rdata.RRSIG, rdata.NSEC}


@dataclass(frozen=True, slots=True)
class RRset:
    """All records of one owner and type (RFC 2181 5); one TTL for all."""

    owner: Name
    type: int
    ttl: int
    data: tuple[RecordData, ...]


@dataclass(frozen=True, slots=True)
class Zone:
    """nodes: every name that exists, empty non-terminals too, to its RRsets by type.

    services: owner name to the service's name in the fleet; such owners are in `nodes` as well.
    """

    apex: Name
    nodes: Mapping[Name, Mapping[int, RRset]]
    services: Mapping[Name, str]

    @property
    def soa(self) -> RRset:
        return self.nodes[self.apex][rdata.SOA]

    def negative_soa(self) -> RRset:
        """The SOA as it stands in negative answers: TTL = min(its own, its minimum) (RFC 2308 3)."""
        soa = self.soa
        return RRset(soa.owner, soa.type, min(soa.ttl, soa.data[0].times[4]), soa.data)

    def cut(self, name: Name) -> Name | None:
        """The zone cut at or above `name`, nearest to the apex; None when the zone itself speaks for it."""
        found = None
        for candidate in ancestors(name):
            if candidate == self.apex:
                return found
            if rdata.NS in self.nodes.get(candidate, ()):
                found = candidate
        return None

    def redirection(self, name: Name) -> RRset | None:
        """The DNAME above `name` (RFC 6672 2.3), None when there is none; a name does not redirect itself."""
        for above in _above(name, self.apex):
            if rdata.DNAME in self.nodes.get(above, ()):
                return self.nodes[above][rdata.DNAME]
        return None

    def source_of(self, name: Name) -> Name | None:
        """The node that answers for `name`: itself, or the wildcard that covers it (RFC 4592 3.3.1)."""
        if name in self.nodes:
            return name
        encloser = parent(name)
        while encloser not in self.nodes:
            encloser = parent(encloser)
        wildcard = b"\x01*" + encloser
        return wildcard if wildcard in self.nodes else None


def load_zone(source: ZoneSource, services: Collection[str]) -> Zone:
    """Read and check a zone; `services` are the names of the fleet's services in it.

    Raises ZoneError with every problem found.
    """
    apex = from_text(source.name).lower()
    records, problems = read_zone_text(source.text, apex, file=source.file, first_line=source.first_line)
    owners = {from_text(name).lower(): name for name in services}
    nodes = _collect(records, apex, problems)
    _check_apex(nodes, apex, Place(source.file, source.first_line), problems)
    _check_names(records, nodes, apex, owners, problems)
    _check_services(nodes, apex, owners, Place(source.file, source.first_line), problems)
    if problems:
        raise ZoneError(problems)
    for owner in owners:
        nodes.setdefault(owner, {})
    for owner in list(nodes):
        for ancestor in ancestors(owner):
            nodes.setdefault(ancestor, {})
            if ancestor == apex:
                break
    return Zone(apex, nodes, owners)


def _collect(records: list[Record], apex: Name, problems: list[Problem]) -> dict[Name, dict[int, RRset]]:
    grouped: dict[tuple[Name, int], list[Record]] = defaultdict(list)
    for record in records:
        if not is_at_or_below(record.owner, apex):
            problems.append(
                Problem(
                    record.place,
                    f"{service_text(record.owner)} lies outside the zone {service_text(apex)}",
                    "names without a final dot are relative to $ORIGIN",
                )
            )
            continue
        grouped[record.owner, record.type].append(record)
    nodes: dict[Name, dict[int, RRset]] = {}
    for (owner, rtype), members in grouped.items():
        data: list[RecordData] = []
        for record in members:
            if record.data not in data:
                data.append(record.data)
        ttl = min(record.ttl for record in members)
        nodes.setdefault(owner, {})[rtype] = RRset(owner, rtype, ttl, tuple(data))
    return nodes


def _check_apex(
    nodes: Mapping[Name, Mapping[int, RRset]], apex: Name, place: Place, problems: list[Problem]
) -> None:
    at_apex = nodes.get(apex, {})
    name = service_text(apex)
    soa = at_apex.get(rdata.SOA)
    if soa is None:
        problems.append(Problem(place, f"the zone {name} has no SOA record", "add `@ IN SOA …` at its apex"))
    elif len(soa.data) > 1:
        problems.append(Problem(place, f"the zone {name} has {len(soa.data)} SOA records", "keep one"))
    if rdata.NS not in at_apex:
        problems.append(Problem(place, f"the zone {name} has no NS record at its apex", "add `@ IN NS ns1`"))


def _check_services(
    nodes: Mapping[Name, Mapping[int, RRset]],
    apex: Name,
    services: Mapping[Name, str],
    place: Place,
    problems: list[Problem],
) -> None:
    """A service below a cut or a DNAME would never be answered: the zone does not speak for such names."""
    zone = Zone(apex, nodes, services)
    for owner, name in services.items():
        if (cut := zone.cut(owner)) is not None:
            problems.append(
                Problem(
                    place,
                    f"the service {name} lies at or below the zone cut {service_text(cut)}",
                    "the NS records there give the name away; remove them, or the service",
                )
            )
        elif (redirect := zone.redirection(owner)) is not None:
            what = f"the service {name} lies below the DNAME of {service_text(redirect.owner)}"
            problems.append(Problem(place, what, "remove the DNAME, or the service"))


def _check_names(
    records: list[Record],
    nodes: Mapping[Name, Mapping[int, RRset]],
    apex: Name,
    services: Mapping[Name, str],
    problems: list[Problem],
) -> None:
    told: set[tuple[Name, str]] = set()

    def tell(record: Record, message: str, hint: str) -> None:
        if (record.owner, message) not in told:
            told.add((record.owner, message))
            problems.append(Problem(record.place, message, hint))

    for record in records:
        if record.owner not in nodes:
            continue  # outside the zone, which has been told
        node = nodes[record.owner]
        name = service_text(record.owner)
        if record.type == rdata.DNAME and len(node[rdata.DNAME].data) > 1:
            tell(record, f"{name} has more than one DNAME", "keep one (RFC 6672 2.4)")
        if record.type == rdata.CNAME:
            others = sorted(type_text(other) for other in node if other not in {rdata.CNAME, *_BESIDE_CNAME})
            if others:
                tell(record, f"{name} has a CNAME beside {', '.join(others)}", "a CNAME stands alone")
            if len(node.get(rdata.CNAME, record).data) > 1:
                tell(record, f"{name} has more than one CNAME", "keep one")
        for above in _above(record.owner, apex):
            if rdata.DNAME in nodes.get(above, ()):
                message = f"{name} lies below the DNAME of {service_text(above)}"
                tell(record, message, "nothing may (RFC 6672 2.4)")
        if record.type == rdata.SOA and record.owner != apex:
            tell(record, f"{name} has an SOA record, but is not the zone's apex", "remove it")
        if record.owner in services and record.type in (rdata.A, rdata.AAAA, rdata.CNAME):
            tell(
                record,
                f"{name} is a service, and has a static {type_text(record.type)} record as well",
                "remove the record, or the service",
            )


def _above(name: Name, apex: Name) -> Iterator[Name]:
    """The names above `name`, up to the apex."""
    while name != apex:
        name = parent(name)
        yield name
