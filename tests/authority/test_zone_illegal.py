"""A zone that RFCs forbid, or that could not be answered from, is refused with the reason and the line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fleets import fleet, region

from gslb.dns.name import from_text
from gslb.dns.zone import load_zone
from gslb.dns.zones import load_zones, zones_below
from gslb.errors import ZoneError
from gslb.fleet import ZoneSource
from gslb.geo.location import Coordinates

# Three lines, so that what a test adds begins in line 4.
APEX = "$TTL 300\n@ SOA ns.other.test. me.other.test. 7 2 3 4 60\n@ NS ns.other.test.\n"
SERVICES = ("www.shop.test", "*.apps.shop.test")
DS = "DS 1 13 2 " + "ab" * 32


def load(text, services=SERVICES, **more):
    return load_zone(ZoneSource("shop.test", text, "z"), services, **more)


def problems(text, services=SERVICES, **more):
    with pytest.raises(ZoneError) as caught:
        load(text, services, **more)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        # aliases stand alone (RFC 1034 3.6.2, RFC 2181 10.1)
        ("c CNAME a\nc TXT x", "z:4:1: c.shop.test has a CNAME beside TXT; a CNAME stands alone"),
        ("c DNAME a\nc CNAME b", "z:5:1: c.shop.test has a CNAME beside DNAME; a CNAME stands alone"),
        ("c CNAME a\nc CNAME b", "z:5:1: c.shop.test has more than one CNAME; keep one"),
        ("@ CNAME other.test.", "z:4:1: shop.test has a CNAME beside NS, SOA; a CNAME stands alone"),
        (
            "www CNAME a",
            "z:4:1: www.shop.test is a service, and has a static CNAME record as well; remove the",
        ),
        (
            "www AAAA ::1",
            "z:4:1: www.shop.test is a service, and has a static AAAA record as well; remove the",
        ),
        ("*.apps A 192.0.2.1", "z:4:1: *.apps.shop.test is a service, and has a static A record as well"),
        ("*.apps AAAA ::1", "z:4:1: *.apps.shop.test is a service, and has a static AAAA record as well"),
        ("*.apps CNAME a", "z:4:1: *.apps.shop.test is a service, and has a static CNAME record as well"),
        # the apex (RFC 1035 5.2)
        ("@ SOA a b 1 2 3 4 5", "z:4:1: the zone shop.test has 2 SOA records; keep one"),
        (
            "x SOA a b 1 2 3 4 5",
            "z:4:1: x.shop.test has an SOA record, but is not the zone's apex; remove it",
        ),
        (f"@ {DS}", "z:4:1: shop.test is the zone's apex, and has a DS record; it belongs in the zone above"),
        ("other.test. A 192.0.2.1", "z:4:1: other.test lies outside the zone shop.test; names without"),
        ("xshop.test. A 192.0.2.1", "z:4:1: xshop.test lies outside the zone shop.test; names without"),
        # what no RFC defines at a wildcard
        (
            "*.x NS ns.other.test.",
            "z:4:1: the wildcard *.x.shop.test has a record of type NS, which no RFC gives a meaning",
        ),
        (
            "*.x DNAME other.test.",
            "z:4:1: the wildcard *.x.shop.test has a record of type DNAME, which no RFC gives a",
        ),
        (
            f"*.x {DS}",
            "z:4:1: the wildcard *.x.shop.test has a record of type DS, which no RFC gives a meaning",
        ),
        # DNAME (RFC 6672 2.3, 2.4)
        (
            "d DNAME a\nx.d A 192.0.2.1",
            "z:5:1: x.d.shop.test lies below the DNAME of d.shop.test; nothing may",
        ),
        ("d DNAME a\n*.d TXT x", "z:5:1: *.d.shop.test lies below the DNAME of d.shop.test; nothing may"),
        ("d DNAME a\nd DNAME b", "z:5:1: d.shop.test has more than one DNAME; keep one (RFC 6672 2.4)"),
        (
            "d DNAME a\nd NS ns.other.test.",
            "z:4:1: d.shop.test has a DNAME beside NS; the NS records give it",
        ),
        # targets (RFC 2181 10.3, RFC 2782)
        (
            "@ NS a\na CNAME b",
            "z:4:1: the target a.shop.test of the NS record is an alias (CNAME); name what",
        ),
        (
            "s NS a\na CNAME b",
            "z:4:1: the target a.shop.test of the NS record is an alias (CNAME); name what",
        ),
        (
            "@ MX 1 a\na CNAME b",
            "z:4:1: the target a.shop.test of the MX record is an alias (CNAME); name what",
        ),
        ("x SRV 0 0 1 a\na CNAME b", "z:4:1: the target a.shop.test of the SRV record is an alias (CNAME)"),
        ("@ MX 1 a.w\n*.w CNAME b", "z:4:1: the target a.w.shop.test of the MX record is an alias (CNAME)"),
        (
            "@ MX 1 a.d\nd DNAME b",
            "z:4:1: the target a.d.shop.test of the MX record lies below the DNAME of d.",
        ),
        # addresses of name servers (RFC 1034 4.2.1, RFC 9471)
        (
            "@ NS ns1",
            "z:4:1: the name server ns1.shop.test has no address in the zone; add its A or AAAA record",
        ),
        (
            "@ NS ns1\nns1 TXT x",
            "z:4:1: the name server ns1.shop.test has no address in the zone; add its A or",
        ),
        (
            "@ NS ns.other.test",
            "z:4:1: the name server ns.other.test.shop.test has no address in the zone; add",
        ),
        (
            "s NS ns1",
            "z:4:1: the name server ns1.shop.test has no address in the zone; add its A or AAAA record",
        ),
        (
            "s NS ns.s",
            "z:4:1: the name server ns.s.shop.test lies in the zone that it serves, and has no address",
        ),
        ("s NS s", "z:4:1: the name server s.shop.test lies in the zone that it serves, and has no address"),
        (
            "s NS ns.s\nns.s CNAME x",
            "z:4:1: the name server ns.s.shop.test lies in the zone that it serves, and",
        ),
        # delegation signers (RFC 4035 2.4)
        (f"s {DS}", "z:4:1: s.shop.test has a DS record and no NS record; add the NS records (RFC 4035 2.4)"),
        # services where the zone does not speak
        (
            "www NS ns.other.test.",
            "z:4:1: the service www.shop.test lies at or below the zone cut www.shop.test",
        ),
        (
            "apps NS ns.other.test.",
            "z:4:1: the service *.apps.shop.test lies at or below the zone cut apps.shop.",
        ),
        (
            "apps DNAME x",
            "z:4:1: the service *.apps.shop.test lies below the DNAME of apps.shop.test; remove the",
        ),
    ],
)
def test_what_may_not_be_is_told_once_with_its_line(lines, said):
    (found,) = problems(f"{APEX}{lines}\n")
    assert found.startswith(said)


@pytest.mark.parametrize(
    "lines",
    [
        "c CNAME a",
        "c CNAME a\nc CNAME A.shop.test.",  # the same one twice is one
        "*.x CNAME a\n*.y MX 1 a\n*.y SRV 0 0 1 other.test.",
        "www TXT x\nwww MX 1 www\n*.apps TXT x\nx.apps A 192.0.2.1",
        "@ NS ns1\nns1 A 192.0.2.1",
        "@ NS ns1\nns1 AAAA 2001:db8::1",
        "@ NS www\ns NS x.apps",  # services have addresses
        "@ NS x.w\n*.w A 192.0.2.1",  # and so has what a wildcard covers
        "s NS ns.s\nns.s A 192.0.2.1",
        "s NS s\ns A 192.0.2.1",
        "s NS ns.t\nt NS ns.t\nns.t A 192.0.2.1",
        "s NS ns.t\nt NS ns.other.test.",  # its address is a matter of the zone t
        f"s NS ns.other.test.\ns {DS}",
        "s NS ns.other.test.\nx.s TXT x\ny.s NS nowhere\nd.s DNAME e\nc.s MX 1 b.s\nb.s CNAME a",  # occluded
        "d DNAME other.test.\nd TXT x\nd A 192.0.2.1",
        "@ MX 0 .",  # RFC 7505
        "@ MX 1 nowhere\nx SRV 0 0 1 nowhere",
        "a.*.b NS ns.other.test.\n*x NS ns.other.test.",  # no wildcards
    ],
)
def test_what_may_be_is_not_refused(lines):
    assert load(f"{APEX}{lines}\n").soa.ttl == 300


def test_a_dname_may_stand_at_the_apex_when_nothing_lies_below_it():
    assert load(f"{APEX}@ DNAME other.test.\n", ()).nodes.keys() == {from_text("shop.test")}
    (found,) = problems(f"{APEX}@ DNAME other.test.\nx A 192.0.2.1\n", ())
    assert found.startswith("z:5:1: x.shop.test lies below the DNAME of shop.test; nothing may")


def test_what_is_missing_at_the_apex_is_told():
    assert problems("$TTL 1\nx A 192.0.2.1\n") == [
        "z:1: the zone shop.test has no SOA record; add `@ IN SOA …` at its apex",
        "z:1: the zone shop.test has no NS record at its apex; add `@ IN NS ns1`",
    ]
    assert len(problems("", ())) == 2


def test_nothing_is_called_missing_that_may_stand_in_a_line_that_cannot_be_read():
    (found,) = problems("$TTL 1\n@ SOA a b 1 2 3 4\n@ NS ns1\nns1 A 192.0.2.1\n")
    assert found.startswith("z:2:7: SOA: expected MNAME RNAME SERIAL")
    (found,) = problems(f"{APEX}@ NS ns1\nns1 A 192.0.2\ns {DS}\n")
    assert found.startswith("z:5:7: A: ")


def test_differing_times_to_live_in_an_rrset_become_the_shortest():
    """RFC 2181 5.2."""
    zone = load(f"{APEX}x 60 A 192.0.2.1\nx 30 A 192.0.2.2\nx 90 A 192.0.2.2\n")
    (rrset,) = zone.nodes[from_text("x.shop.test")].values()
    assert (rrset.ttl, len(rrset.data)) == (30, 2)


def test_any_character_may_stand_in_a_name_that_is_told_of():
    found = problems(f"{APEX}{{x}}% CNAME {{0}}\n{{x}}% TXT x\n@ NS {{y}}\n")
    assert found[0].startswith("z:4:1: {x}%.shop.test has a CNAME beside TXT")
    assert found[1].startswith("z:6:1: the name server {y}.shop.test has no address")


def test_a_service_that_a_hostname_may_answer_stands_alone():
    text = f"{APEX}www TXT x\nwww MX 1 other.test.\nwww TXT y\n*.apps TXT x\n"
    found = problems(text, aliases=["www.shop.test"])
    assert [line.split(" is a service")[0] for line in found] == [
        "z:4:1: www.shop.test",
        "z:5:1: www.shop.test",
    ]
    assert "a CNAME stands alone" in found[0]


@pytest.mark.parametrize("line", ["@ NS www", "@ MX 1 www", "x SRV 0 0 1 www", "s NS www"])
def test_a_service_that_a_hostname_may_answer_is_no_target(line):
    (found,) = problems(f"{APEX}{line}\n", aliases=["www.shop.test"])
    assert "the target www.shop.test" in found
    assert "is a service that a hostname may answer; name no alias" in found


def test_a_name_server_in_a_zone_below_that_is_served_too_has_its_address_there():
    text = f"{APEX}@ NS ns.kid\n"
    assert "has no address" in problems(text)[0]
    assert load(text, children=["kid.shop.test"]).apex == from_text("shop.test")


LIES_IN = (
    "lies in the zone kid.shop.test, which answers for it; move the record there; here stand only NS and"
)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("www.kid A 192.0.2.1", f"z:4:1: www.kid.shop.test {LIES_IN}"),
        ("kid NS ns.other.test.\na.kid AAAA ::1", f"z:5:1: a.kid.shop.test {LIES_IN}"),
        ("kid TXT x", f"z:4:1: kid.shop.test {LIES_IN}"),
        ("kid CNAME a", f"z:4:1: kid.shop.test {LIES_IN}"),
        ("kid A 192.0.2.1", f"z:4:1: kid.shop.test {LIES_IN}"),
        ("*.kid MX 1 a", f"z:4:1: *.kid.shop.test {LIES_IN}"),
        ("a.kid NS ns.other.test.", f"z:4:1: a.kid.shop.test {LIES_IN}"),
        ("x.deep TXT x\ny.x.deep TXT x", "z:5:1: y.x.deep.shop.test lies in the zone y.x.deep.shop.test"),
        ("deep DNAME a", "z:4:1: deep.shop.test has a DNAME, and the zone y.x.deep.shop.test lies below it"),
    ],
)
def test_what_a_zone_below_answers_for_is_not_said_here(lines, said):
    (found,) = problems(f"{APEX}{lines}\n", children=["kid.shop.test", "y.x.deep.shop.test"])
    assert found.startswith(said)


@pytest.mark.parametrize(
    "lines",
    [
        f"kid NS ns.other.test.\nkid {DS}",
        "kid NS ns.kid\nns.kid A 192.0.2.1\nns.kid AAAA ::1",
        "kid NS kid\nkid A 192.0.2.1",
        "other NS ns.kid\nns.kid A 192.0.2.1",  # glue for the sibling of a zone
        "@ NS ns.kid\nns.kid A 192.0.2.1",
    ],
)
def test_a_zone_below_that_is_served_too_can_be_delegated(lines):
    assert load(f"{APEX}{lines}\n", children=["kid.shop.test"]).soa.ttl == 300


def test_all_zones_of_a_fleet_are_checked_with_what_the_fleet_knows():
    made = fleet()
    regions = {name: replace(each, hostname=None) for name, each in made.regions.items()}
    cdn = replace(region("cdn", Coordinates(0.0, 0.0), ()), edges=(), hostname="shop.cdn.test")
    service = replace(next(iter(made.services.values())), regions=("eu-west", "cdn"))
    zones = {name: ZoneSource(name, f"{APEX}{text}", name) for name, text in ZONES.items()}
    made = replace(made, regions={**regions, "cdn": cdn}, services={service.name: service}, zones=zones)
    with pytest.raises(ZoneError) as caught:
        load_zones(made)
    assert [str(problem).partition(";")[0] for problem in caught.value.problems] == [
        "shop.test:4:1: the target www.shop.test of the NS record is a service that a hostname may answer",
        "kid.shop.test:4:1: the name server nowhere.kid.shop.test has no address in the zone",
    ]
    assert zones_below(zones) == {"shop.test": ["kid.shop.test"], "kid.shop.test": [], "xshop.test": []}


ZONES = {"shop.test": "@ NS www\n@ NS ns.kid\n", "kid.shop.test": "@ NS nowhere\n", "xshop.test": ""}


@pytest.mark.parametrize(
    ("lines", "kind", "length"),
    [
        ("\n".join(f"many A 10.{n >> 8}.{n & 255}.1" for n in range(4033)), "A", 64560),
        ("\n".join(f"many TXT {n:03}{'x' * 240}" for n in range(253)), "TXT", 64800),
    ],
)
def test_what_no_message_has_room_for_is_refused(lines, kind, length):
    (said,) = problems(APEX + lines)
    assert said == (
        f"z:4:1: the {kind} records of many.shop.test make an answer of {length} bytes, and no message has "
        "room for it; 64511 bytes are the most: spread them over several names"
    )
    load(APEX + lines[: lines.rindex("\n")].rsplit("\n", 20)[0])
