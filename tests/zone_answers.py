"""What zones answer, as lines that a test can state in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fleets import NOW, authority, client, fleet

from gslb.dns.authority import Authority
from gslb.dns.name import from_text, service_text
from gslb.dns.rdata import type_number, type_text
from gslb.fleet import Service, ZoneSource

RCODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED", 6: "YXDOMAIN"}
APEX = "$TTL 300\n@ 900 SOA ns.other.test. me.other.test. 7 2 3 4 60\n@ NS ns.other.test.\n"


@dataclass(frozen=True)
class Answered:
    """Sections as sorted lines `owner TTL TYPE data`; `aa`: whether the answer is authoritative."""

    rcode: str
    aa: bool
    answer: list[str]
    authority: list[str]
    additional: list[str]

    @property
    def nodata(self) -> bool:
        """Whether it says that the name exists and the type does not (RFC 2308 2.2)."""
        return self.rcode == "NOERROR" and self.aa and not self.answer and " SOA " in self.authority[0]


def served(zones: dict[str, str], services: Sequence[str] = (), *, apex: str = APEX) -> Authority:
    """The authority for zones (name to records below those of `apex`); each service lies in the deepest."""
    made = fleet()
    template = next(iter(made.services.values()))
    inside = {
        name: max((zone for zone in zones if f".{name}".endswith(f".{zone}")), key=len) for name in services
    }
    return authority(
        replace(
            made,
            zones={name: ZoneSource(name, apex + text, f"{name}.zone") for name, text in zones.items()},
            services={name: _named(template, name, zone) for name, zone in inside.items()},
        )
    )


def _named(service: Service, name: str, zone: str) -> Service:
    return replace(service, name=name, zone=zone)


def asked(known: Authority, name: str, rtype: str = "A", source: str = "10.1.2.3") -> Answered:
    """What a client in London is told of a name."""
    number = 255 if rtype == "ANY" else type_number(rtype)
    assert number is not None
    reply = known.reply(from_text(name).lower(), number, 1, client(source), NOW)
    answer, above, additional = (
        [
            f"{service_text(rrset.owner)} {rrset.ttl} {type_text(rrset.type)} {data.toZone()}"
            for rrset in section
            for data in rrset.data
        ]
        for section in (reply.answer, reply.authority, reply.additional)
    )
    return Answered(RCODES[reply.rcode], reply.authoritative, answer, above, additional)
