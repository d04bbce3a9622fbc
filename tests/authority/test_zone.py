"""Zone files are read as RFC 1035 says, every fault has its line, and illegal zones are refused."""

from __future__ import annotations

import dns.rdata
import dns.rdataclass
import dns.zone
import pytest
from dnslib.label import DNSBuffer
from fleets import ZONE
from hypothesis import given
from hypothesis import strategies as st

from gslb.dns import rdata
from gslb.dns.name import from_text, parent, to_text
from gslb.dns.zone import load_zone
from gslb.dns.zonefile import read_zone_text
from gslb.errors import ZoneError
from gslb.fleet import ZoneSource

APEX = "@ IN SOA ns1 hostmaster 1 2 3 4 300\n@ IN NS ns1.elsewhere.test.\n"


def load(text, services=()):
    return load_zone(ZoneSource("shop.test", text, "shop.zone", 10), services)


def problems(text, services=()):
    with pytest.raises(ZoneError) as caught:
        load(text, services)
    return [str(problem) for problem in caught.value.problems]


def name(text):
    return from_text(text, from_text("shop.test"))


labels = st.binary(min_size=1, max_size=63)


@given(st.lists(labels, max_size=3))
def test_any_name_survives_its_presentation_form(parts):
    wire = b"".join(bytes((len(part),)) + part for part in parts) + b"\x00"
    assert from_text(to_text(wire)) == wire


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_a_value_error(text):
    try:
        wire = from_text(text)
    except ValueError:
        return
    assert len(wire) <= 255


@given(st.text(alphabet=st.sampled_from(list('@ INASOTXMC$TL0123456789.\\;()"\n\tw-')), max_size=120))
def test_any_text_is_read_or_has_problems_with_lines(text):
    records, found = read_zone_text(text, from_text("shop.test"), file="f", first_line=5)
    for problem in found:
        assert 5 <= problem.place.line <= 5 + text.count("\n") + 1
    for record in records:
        assert record.ttl >= 0


TYPES = """
$TTL 1h
@ SOA ns1 hostmaster.shop.test. (
      2026112201 ; serial
      2h 15m 2w 5m )
  NS ns1
  300 IN MX 10 mail
@ IN 600 TXT "v=spf1 -all" plain "semi;colon" "a\\"quote" "\\065"
ns1 A 192.0.2.1
  AAAA 2001:db8::1
_sip._tcp SRV 1 2 5060 ns1
@ CAA 0 issue "ca.example.net; account=1"
ptr PTR ns1.elsewhere.test.
dn DNAME elsewhere.test.
naptr NAPTR 100 50 "s" "http+E2U" "" _http._tcp
tlsa TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
sshfp SSHFP 4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
unknown TYPE65280 \\# 4 0A000001
svc HTTPS 1 svc port=8443 alpn="h2,h3" ipv4hint=192.0.2.1
loc LOC 51 30 12.748 N 0 7 39.611 W 0.00m
$ORIGIN deep.shop.test.
host A 192.0.2.2
"""


def test_records_are_what_an_independent_reader_reads():
    zone = load(TYPES)
    other = dns.zone.from_text(TYPES, origin="shop.test.", relativize=False)
    ours = {
        (to_text(owner), rtype): (rrset.ttl, len(rrset.data))
        for owner, node in zone.nodes.items()
        for rtype, rrset in node.items()
    }
    theirs = {
        (str(owner), int(rdataset.rdtype)): (rdataset.ttl, len(rdataset))
        for owner, rdataset in other.iterate_rdatasets()
    }
    assert ours == theirs
    for owner, rdataset in other.iterate_rdatasets():
        node = zone.nodes[from_text(str(owner))]
        assert {reread(data, rdataset.rdtype) for data in node[rdataset.rdtype].data} == set(rdataset)


def reread(data, rtype):
    """Record data of ours, packed, as dnspython reads it."""
    buffer = DNSBuffer()
    data.pack(buffer)
    wire = bytes(buffer.data)
    return dns.rdata.from_wire(dns.rdataclass.IN, rtype, wire, 0, len(wire))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bad IN A 1.2.3", "shop.zone:12:10: A: Expected 4 octets"),
        ("bad IN MX ten mail", "shop.zone:12:11: MX: the preference must be a number from 0 to 65535"),
        ("bad IN NOSUCH x", "shop.zone:12:8: 'NOSUCH' is not a record type"),
        ("bad IN A", "shop.zone:12:8: A: expected one IPv4 address, found 0 words"),
        ("bad CH A 192.0.2.1", "shop.zone:12:5: class CH is not served"),
        ("a..b IN A 192.0.2.1", "shop.zone:12:1: 'a..b' is not a name: the name has an empty label"),
        ("$INCLUDE other.zone", "shop.zone:12:10: 'other.zone' cannot be included: its text is not there"),
        ("$INCLUDE", "shop.zone:12:1: $INCLUDE takes a file and perhaps an origin"),
        ("$ORIGIN a b", "shop.zone:12:1: $ORIGIN takes one word"),
        ("$TTL 1x", "shop.zone:12:6: '1x' is not a time: write seconds, or like 1h30m"),
        ("$TTL 2147483648", "shop.zone:12:6: '2147483648' is not a time between 0 and 2147483647 seconds"),
        ("$NOSUCH a", "shop.zone:12:1: the directive $NOSUCH is not known; $ORIGIN, $TTL, $INCLUDE and"),
        (" $TTL 1h", "shop.zone:12:2: a directive must begin its line; remove the blanks before it"),
        ("bad CLASS3 A 192.0.2.1", "shop.zone:12:5: class CLASS3 is not served"),
        ('"bad" A 192.0.2.1', "shop.zone:12:1: 'bad' in quotes is not a name; remove the quotes"),
        (
            "b\\1d A 192.0.2.1",
            "a backslash must be followed by a character or three digits",
        ),
        ("bä A 192.0.2.1", "'ä' is not ASCII; write international names in their xn-- form"),
        ("bad TXT a\\", "shop.zone:12:9: TXT: a backslash must be followed by a character or three digits"),
        ("bad TXT \\256", "shop.zone:12:9: TXT: the escape \\256 is above 255"),
        ("bad A \\# 3 000000", "shop.zone:12:7: A: the bytes after \\# are not A data"),
        ("bad NS \\# 2 c000", "shop.zone:12:8: NS: the bytes after \\# "),
        ("bad MX \\# 4 0000c000", "shop.zone:12:8: MX: the bytes after \\# are not MX data: they hold"),
        # a pointer in a type that has no reader of our own
        ("bad RP \\# 5 016100c000", "shop.zone:12:8: RP: the bytes after \\# are not RP data: they hold"),
        ("bad RP \\# 6 016100016100ff", "shop.zone:12:8: RP: \\# says 6 bytes"),
        ("bad RP \\# 7 016100016100ff", "shop.zone:12:8: RP: the bytes after \\# are not RP data"),
        ("bad TYPE65280 x", "TYPE65280 data must be written in the \\# form of RFC 3597"),
        ("bad TYPE65280 \\# 3 00", "\\# says 3 bytes, but 1 follow"),
        (f"{'x' * 64} A 192.0.2.1", "a label is 64 bytes long; 63 is the limit"),
        (
            (("x" * 50) + ".") * 5 + "x A 192.0.2.1",
            "is not a name: the name is 268 bytes long; 255 is the limit",
        ),
        ("$GENERATE 3-1 h$ A 192.0.2.$", "shop.zone:12:11: '3-1' is not a range: it must rise"),
        ("$GENERATE 1-x h$ A 192.0.2.$", "shop.zone:12:11: '1-x' is not a range: write like 1-10"),
        ("$GENERATE 1-2 h$ A", "shop.zone:12:1: $GENERATE takes a range, an owner, a type and data"),
        ("$GENERATE 1-2 h${x} A 192.0.2.1", "shop.zone:12:15: after $ stands {offset}, {offset,width} or"),
        ("$GENERATE 1-2 h${-2} A 192.0.2.1", "shop.zone:12:15: the offset takes the number below 0"),
        ("$GENERATE 250-260 h$ A 192.0.2.$", "shop.zone:12:24: A: Octet 256 (> 255) not permitted"),
        ("$GENERATE 0-2147483647 h$ A 192.0.2.1", "shop.zone:12:11: $GENERATE would make more than 100000"),
        ('bad IN TXT ("open"', "shop.zone:12:12: this ( is never closed"),
        ('bad IN TXT "open', "shop.zone:12:12: this quote is never closed"),
        ("bad IN A 192.0.2.1 )", "shop.zone:12:20: there is no ( for this )"),
        ("out.test. IN A 192.0.2.1", "shop.zone:12:1: out.test lies outside the zone shop.test"),
        ("c IN CNAME a\nc IN A 192.0.2.1", "shop.zone:12:1: c.shop.test has a CNAME beside A"),
        ("c IN CNAME a\nc IN CNAME b", "shop.zone:13:1: c.shop.test has more than one CNAME"),
        ("s IN SOA a b 1 2 3 4 5", "shop.zone:12:1: s.shop.test has an SOA record, but is not"),
        ("@ IN SOA b b 1 2 3 4 5", "shop.zone:12:1: the zone shop.test has 2 SOA records"),
        ("@ IN CNAME b", "shop.zone:12:1: shop.test has a CNAME beside NS, SOA"),
        ("www IN A 192.0.2.1", "www.shop.test is a service, and has a static A record as well"),
        ("x 99x IN A 192.0.2.1", "shop.zone:12:3: '99x' is not a time"),
        ("www IN NS ns.elsewhere.test.", "the service www.shop.test lies at or below the zone cut www.shop"),
        ("d IN DNAME x\na.d IN A 192.0.2.1", "shop.zone:13:1: a.d.shop.test lies below the DNAME of d.shop"),
        ("d IN DNAME x\nd IN DNAME y", "shop.zone:13:1: d.shop.test has more than one DNAME"),
        ("h IN HTTPS 99999 .", "shop.zone:12:12: HTTPS: this is not valid HTTPS data"),
        ("k IN DNSKEY 256 3 8 !!", "DNSKEY: this is not valid DNSKEY data"),
        ("l IN TXT " + f'"{"x" * 255}" ' * 300, "TXT: the strings are longer than 65535 bytes together"),
    ],
)
def test_every_fault_is_told_with_its_place(line, said):
    found = problems(APEX.replace("@ IN SOA", "@ 300 IN SOA") + line + "\n", ("www.shop.test",))
    assert any(said in each for each in found), found


def test_a_fault_is_told_in_few_words_however_long_the_line():
    (found,) = problems(f"{APEX.replace('@ IN SOA', '@ 300 IN SOA')}x IN A {'9' * 5000}\n")
    assert len(found) < 400


def test_all_faults_are_told_at_once():
    found = problems("$TTL 1\n" + APEX + "a A x\nb A y\nc NOSUCH z\n")
    assert len(found) == 3


def test_a_zone_without_soa_or_ns_is_refused():
    found = problems("$TTL 1\nwww A 192.0.2.1\n")
    assert "has no SOA record" in found[0]
    assert "has no NS record" in found[1]


def test_names_between_are_there_and_wildcards_stand_in_for_names_that_are_not():
    zone = load(ZONE, ("www.shop.test", "*.any.shop.test"))
    assert name("er") in zone.nodes, "an empty non-terminal"
    assert zone.source_of(name("nothing")) is None
    assert zone.source_of(name("a.b.wild")) == name("*.wild")
    assert zone.source_of(name("wild")) == name("wild")
    assert zone.source_of(name("x.any")) == name("*.any")
    assert zone.services[zone.source_of(name("x.any"))] == "*.any.shop.test"


def test_a_cut_is_found_from_below_and_at_itself():
    zone = load(ZONE)
    assert zone.cut(name("a.sub")) == name("sub")
    assert zone.cut(name("sub")) == name("sub")
    assert zone.cut(name("www")) is None
    assert zone.cut(name("@")) is None


def test_negative_answers_live_no_longer_than_the_minimum():
    zone = load(ZONE)
    assert zone.soa.ttl == 3600
    assert zone.negative_soa().ttl == 300


def test_types_have_numbers_and_names():
    assert rdata.type_number("mx") == 15
    assert rdata.type_number("TYPE65280") == 65280
    assert rdata.type_number("OPT") is None
    assert rdata.type_number("ANY") is None
    assert rdata.type_text(65280) == "TYPE65280"
    assert parent(name("www")) == name("@")
