"""One zone's static data and the names of its services, checked once and then only looked up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from gslb.dns import rdata
from gslb.dns.name import (
    WILDCARD_LABEL,
    Name,
    ancestors,
    count_labels,
    from_text,
    is_at_or_below,
    parent,
    service_text,
    topmost,
)
from gslb.dns.rdata import RecordData
from gslb.dns.zone_checks import check_zone
from gslb.dns.zonefile import Record, read_zone_text
from gslb.errors import Place, Problem, ZoneError
from gslb.fleet import ZoneSource


@dataclass(frozen=True, slots=True)
class RRset:
    """All records of one owner and type (RFC 2181 5); one TTL for all."""

    owner: Name
    type: int
    ttl: int
    data: tuple[RecordData, ...]


@dataclass(frozen=True, slots=True)
class Zone:
    """nodes: every name that exists, empty non-terminals (RFC 4592 2.2.2) too, to its RRsets by type.

    services: owner name to the service's name in the fleet; such owners are in `nodes` as well. What lies
    below a cut is in `nodes` too: only `cut` tells that the zone does not speak for it.
    depth: labels of the longest name that exists; a name with more is looked for from there upwards, so that
    nobody can have us walk a hundred labels for every look.
    """

    apex: Name
    nodes: Mapping[Name, Mapping[int, RRset]]
    services: Mapping[Name, str]
    depth: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", max(map(count_labels, (self.apex, *self.nodes))))

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
        for candidate in ancestors(topmost(name, self.depth)):
            if candidate == self.apex:
                return found
            if rdata.NS in self.nodes.get(candidate, ()):
                found = candidate
        return None

    def redirection(self, name: Name) -> RRset | None:
        """The DNAME above `name` (RFC 6672 2.3), None when there is none; a name does not redirect itself."""
        for candidate in ancestors(topmost(name, self.depth)):
            if candidate != name and rdata.DNAME in self.nodes.get(candidate, ()):
                return self.nodes[candidate][rdata.DNAME]
            if candidate == self.apex:
                break
        return None

    def source_of(self, name: Name) -> Name | None:
        """The node that answers for `name`: itself, or the wildcard that covers it (RFC 4592 3.3.1).

        Only the wildcard right below the closest encloser does. `name` must lie in the zone.
        """
        if name in self.nodes:
            return name
        encloser = topmost(name, self.depth)
        while encloser not in self.nodes:
            encloser = parent(encloser)
        wildcard = WILDCARD_LABEL + encloser
        return wildcard if wildcard in self.nodes else None


def load_zone(
    source: ZoneSource,
    services: Collection[str],
    *,
    aliases: Collection[str] = (),
    children: Collection[str] = (),
) -> Zone:
    """Read and check a zone; `services` are the names of the fleet's services in it.

    aliases: those of them that may be answered by a hostname, thus by a CNAME. children: the names of zones
    of the fleet that lie in this one; they exist here (RFC 8020 2), whether or not NS records lead there.
    Raises ZoneError with every problem found.
    """
    apex = from_text(source.name).lower()
    below = [from_text(child).lower() for child in children]
    records, problems = read_zone_text(
        source.text,
        apex,
        file=source.file,
        first_line=source.first_line,
        included=source.included,
        include_root=source.include_root,
    )
    complete = not problems
    records = _inside(records, apex, problems)
    owners = {from_text(name).lower(): name for name in services}
    zone = Zone(apex, _nodes(records, [*owners, *below], apex), owners)
    start = Place(source.file, source.first_line)
    problems += check_zone(zone, records, start, aliases=aliases, children=below, complete=complete)
    if problems:
        raise ZoneError(dict.fromkeys(problems))  # a file that is included twice has its faults twice
    return zone


def _inside(records: Iterable[Record], apex: Name, problems: list[Problem]) -> list[Record]:
    """The records that belong to the zone; the others are problems."""
    inside = []
    for record in records:
        if is_at_or_below(record.owner, apex):
            inside.append(record)
        else:
            message = f"{service_text(record.owner)} lies outside the zone {service_text(apex)}"
            problems.append(
                Problem(record.place, message, "names without a final dot are relative to $ORIGIN")
            )
    return inside


def _nodes(records: Iterable[Record], more: Iterable[Name], apex: Name) -> dict[Name, dict[int, RRset]]:
    """RRsets by owner and type, with a node for each of `more`, and for every name above another."""
    grouped: dict[tuple[Name, int], list[Record]] = defaultdict(list)
    for record in records:
        grouped[record.owner, record.type].append(record)
    nodes: dict[Name, dict[int, RRset]] = {}
    for (owner, rtype), members in grouped.items():
        ttl = min(record.ttl for record in members)  # RFC 2181 5.2
        nodes.setdefault(owner, {})[rtype] = RRset(owner, rtype, ttl, _distinct(members))
    for owner in [*nodes, *more]:
        for ancestor in ancestors(owner):
            nodes.setdefault(ancestor, {})
            if ancestor == apex:
                break
    return nodes


def _distinct(records: list[Record]) -> tuple[RecordData, ...]:
    """The data of all of them; of equal ones, the first (RFC 2181 5)."""
    data: dict[Hashable, RecordData] = {}
    for record in records:
        data.setdefault(rdata.identity(record.data), record.data)
    return tuple(data.values())
