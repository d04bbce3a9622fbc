"""Whatever RFC 1035 5 allows is read, and as another implementation reads it; nothing else is let through."""

from __future__ import annotations

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.zone
import dns.zonefile
import pytest
from dnslib.label import DNSBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.dns import rdata
from gslb.dns.name import from_text, to_text
from gslb.dns.zone_generate import expand
from gslb.dns.zonefile import read_zone_text

ORIGIN = from_text("shop.test")


def read(text):
    records, problems = read_zone_text(text, ORIGIN, file="f")
    assert problems == []
    return records


class PlainBuffer(DNSBuffer):
    """Names as they are in no message: without compression."""

    encode_name = DNSBuffer.encode_name_nocompress


def packed(data):
    buffer = PlainBuffer()
    data.pack(buffer)
    return bytes(buffer.data)


def plain(record):
    return to_text(record.owner), record.type, record.ttl, packed(record.data)


@pytest.mark.parametrize(
    "text",
    [
        "www 300 IN A 192.0.2.1\n",
        "www IN 300 A 192.0.2.1\n",
        "WWW 5m in a 192.0.2.1\n",
        "$TTL 300\nwww A 192.0.2.1",
        "www.shop.test. 300 CLASS1 TYPE1 192.0.2.1\n",
        "www\t300\tIN\tTYPE1\t\\# 4 C0 000201 ; comment\n",
        "\ufeffwww 300 A 192.0.2.1\r\n",
        "$TTL 300\r; comment\rwww A 192.0.2.1\r",
        "$ORIGIN www.shop.test.\n@ 300 IN A 192.0.2.1\n",
        "$ORIGIN test.\nwww.shop 300 IN A 192.0.2.1\n",
        "w\\119w 300 IN A 192.0.2.1\n",
        "www ( 300\n IN ; why not\n A\n\n( 192.0.2.1 ) )\n",
        "(\nwww 300 A 192.0.2.1)\n",
        "$ttl 5m0s\n\n   ; a comment after blanks\nwww A 192.0.2.1 ;(\n",
    ],
)
def test_a_record_can_be_written_in_many_ways(text):
    assert [plain(record) for record in read(text)] == [("www.shop.test.", 1, 300, b"\xc0\x00\x02\x01")]


@pytest.mark.parametrize("text", ["", "\n", "\ufeff", "; nothing\r\n", "\n \t\n", "( )\n"])
def test_a_text_may_have_no_records(text):
    assert read(text) == []


def test_a_blank_owner_is_the_last_one_whatever_the_origin_is_by_then():
    records = read(
        "$TTL 1\n@ A 192.0.2.1\n$ORIGIN deep\n\tA 192.0.2.2\nx A 192.0.2.3\n ; comment\n A 192.0.2.4\n"
    )
    assert [to_text(record.owner) for record in records] == [
        "shop.test.",
        "shop.test.",
        "x.deep.shop.test.",
        "x.deep.shop.test.",
    ]


def test_a_ttl_left_out_is_that_of_ttl_else_the_last_one_written():
    """RFC 2308 4, RFC 1035 5.1."""
    records = read("a 7 A 192.0.2.1\n  A 192.0.2.2\n$TTL 9\nb A 192.0.2.3\nc 8 A 192.0.2.4\nd A 192.0.2.5\n")
    assert [record.ttl for record in records] == [7, 7, 9, 8, 9]


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ("one two", [b"one", b"two"]),
        ('"one two"', [b"one two"]),
        ('"" ""', [b"", b""]),
        ('"a""b"', [b"a", b"b"]),
        ('"a\\"b\\\\" \\;c', [b'a"b\\', b";c"]),
        ('"semi;colon (and) more" ; comment', [b"semi;colon (and) more"]),
        ("\\000\\255 \\\\", [b"\x00\xff", b"\\"]),
        ('"\\#" 1', [b"#", b"1"]),
        ('"form\x0cfeed\u2028"', [b"form\x0cfeed\xe2\x80\xa8"]),
        ('( "a" ; comment\n "b"\n\t)', [b"a", b"b"]),
        ("@ $TTL IN A", [b"@", b"$TTL", b"IN", b"A"]),
    ],
)
def test_strings(text, strings):
    (record,) = read(f"t 1 TXT {text}\n")
    assert packed(record.data) == b"".join(bytes((len(string),)) + string for string in strings)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a\\.b", [b"a.b"]),
        ("\\@", [b"@"]),
        ("\\$TTL", [b"$ttl"]),
        ("\\*", [b"*"]),
        ('\\;\\(\\)\\"\\\\', [b';()"\\']),
        ("sp\\032ace.\\000\\200", [b"sp ace", b"\x00\xc8"]),
        ("UPPER.Case", [b"upper", b"case"]),
    ],
)
def test_names_with_escapes_are_owners_in_lower_case(text, labels):
    """RFC 4343: case is of ASCII letters alone, and compared away."""
    (record,) = read(f"{text} 1 A 192.0.2.1\n")
    assert record.owner == b"".join(bytes((len(label),)) + label for label in labels) + ORIGIN


@pytest.mark.parametrize(
    ("rtype", "text"),
    [
        ("A", "192.0.2.1"),
        ("AAAA", "2001:db8::1"),
        ("NS", "Ns1.Other.test."),
        ("CNAME", "sp\\032ace.other.test."),
        ("DNAME", "other.test."),
        ("PTR", "other.test."),
        ("MX", "10 mail.other.test."),
        ("SRV", "1 2 443 host.other.test."),
        ("SOA", "ns1.other.test. me.other.test. 4294967295 2 3 4 5"),
        ("TXT", '"a b" "\\"" ""'),
        ("CAA", '0 issue "ca.test"'),
        ("NAPTR", '1 2 "u" "a b" "!^.*$!x!" .'),
        ("HTTPS", '1 . alpn="h2,h3"'),
        ("DS", "12345 13 2 " + "ab" * 32),
        ("HINFO", '"a b" "(c"'),
        ("URI", '10 1 "https://shop.test/"'),
    ],
)
def test_data_in_the_generic_form_of_rfc_3597_is_the_same_data(rtype, text):
    (own,) = read(f"x 1 {rtype} {text}\n")
    wire = packed(own.data)
    (generic,) = read(f"x 1 TYPE{own.type} \\# {len(wire)} {wire.hex()}\n")
    assert own.data == generic.data
    assert packed(generic.data) == wire
    assert generic.data.toZone() == own.data.toZone()
    assert rdata.target(own.type, own.data) == rdata.target(own.type, generic.data)
    other = dns.rdata.from_text("IN", rtype, text)
    assert other.to_wire() == wire


def test_data_of_a_type_that_nobody_knows_is_kept_as_it_is():
    (record,) = read("x 1 TYPE65280 \\# 5 ( 0a 00\n 00 01 ff )\n")
    assert packed(record.data) == b"\x0a\x00\x00\x01\xff"


GENERATED = [
    "1-3 h$ A 192.0.2.$",
    "0-20/7 h-${1,3,d} 60 A 192.0.2.$",
    "9-11 h${-9,2,x}.${0,0,X}.${0,3,o} IN AAAA 2001:db8::${0,0,x}",
    "250-256 ${0,3,n}.${0,0,N} 7 IN PTR p$.other.test.",
    "1-2 a$$b$ CNAME c\\$$",
]


@pytest.mark.parametrize("line", GENERATED)
def test_generate_makes_what_another_implementation_makes(line):
    text = f"$TTL 300\n@ SOA a b 1 2 3 4 5\n@ NS ns1.other.test.\n$GENERATE {line}\n"
    theirs = dns.zone.from_text(text, origin="shop.test.", relativize=False)
    assert {plain(record) for record in read(text)} == set(rrs_of(theirs))


def test_data_of_several_words_is_generated_in_quotes_as_bind_has_it_or_without():
    quoted = read('$TTL 1\n$GENERATE 1-2 m$ MX "1$ mail$"\n')
    assert [record.data.toZone() for record in quoted] == ["11 mail1.shop.test.", "12 mail2.shop.test."]
    assert [plain(record) for record in read("$TTL 1\n$GENERATE 1-2 m$ MX 1$ mail$\n")] == [
        *map(plain, quoted)
    ]


def test_generate_leaves_the_last_owner_alone():
    records = read("$TTL 1\na A 192.0.2.1\n$GENERATE 1-2 h$ A 192.0.2.$\n A 192.0.2.9\n")
    assert to_text(records[-1].owner) == "a.shop.test."


@pytest.mark.parametrize(
    ("template", "number", "text"),
    [("${0,1,n}", 0x1A, "a.1"), ("${0,7,n}", 0x1A, "a.1.0.0"), ("${0,2,n}x", 5, "5.x"), ("${+5}", 1, "6")],
)
def test_generate_writes_nibbles_for_reverse_zones(template, number, text):
    assert expand(template, number) == text


def rrs_of(zone):
    for owner, rdataset in zone.iterate_rdatasets():
        for data in rdataset:
            yield str(owner).lower(), int(rdataset.rdtype), rdataset.ttl, data.to_wire()


octets = st.binary(min_size=1, max_size=12)
names = st.lists(octets, min_size=0, max_size=3).map(
    lambda labels: dns.name.Name([*labels, b"shop", b"test", b""])
)
addresses = st.ip_addresses(v=4).map(lambda address: ("A", str(address)))
rdatas = st.one_of(
    addresses,
    st.ip_addresses(v=6).map(lambda address: ("AAAA", str(address))),
    st.tuples(st.sampled_from(["CNAME", "NS", "PTR", "DNAME"]), names.map(str)),
    st.tuples(st.integers(0, 65535), names).map(lambda pair: ("MX", f"{pair[0]} {pair[1]}")),
    st.tuples(st.integers(0, 65535), names).map(lambda pair: ("SRV", f"{pair[0]} 0 443 {pair[1]}")),
    st.lists(st.binary(max_size=255), min_size=1, max_size=3).map(
        lambda strings: (
            "TXT",
            " ".join('"' + "".join(f"\\{byte:03d}" for byte in each) + '"' for each in strings),
        )
    ),
    st.binary(max_size=30).map(lambda data: ("TYPE65280", f"\\# {len(data)} {data.hex()}")),
    st.tuples(names, names).map(lambda pair: ("NAPTR", f'1 2 "u" "E2U" "!^.*$!\\"!" {pair[0]}')),
    names.map(lambda name: ("HTTPS", f'1 {name} port=8443 alpn="h2,h3"')),
)


@given(
    st.lists(st.tuples(names, st.integers(0, 2**31 - 1), rdatas), max_size=12), st.booleans(), st.booleans()
)
@settings(max_examples=200)
def test_a_zone_that_another_implementation_wrote_is_read_as_it_was(entries, relativize, sorted_):
    zone = dns.zone.Zone("shop.test.", relativize=False)
    for owner, ttl, (rtype, text) in entries:
        if rtype not in ("CNAME", "DNAME") and zone.get_rdataset(owner, "CNAME") is None:
            rdataset = zone.find_rdataset(owner, rtype, create=True)
            rdataset.add(dns.rdata.from_text("IN", rtype, text), ttl)
    text = zone.to_text(sorted=sorted_, relativize=relativize, want_origin=True)
    assert {plain(record) for record in read(text)} == set(rrs_of(zone))


TYPES = [
    each.name.replace("_", "-")
    for each in dns.rdatatype.RdataType
    if rdata.type_number(each.name.replace("_", "-")) is not None
]
WORDS = r"""@ IN 1h 300 \# 4 c0000201 " "" ( ) ; \ \1 \999 a a. . * $TTL $ORIGIN $INCLUDE $GENERATE 1-3 h$ ${
${0,2,n} key= = 192.0.2.1 2001:db8::1 -1 99999999999 AA== 20260101000000"""
pieces = st.sampled_from([*WORDS.split(), "\n", "\n ", "\t", "\r", "\ufeff", "\x00", "é", "\u2028"])


@given(st.lists(st.one_of(pieces, st.sampled_from(TYPES), st.text(max_size=4)), max_size=25))
@settings(max_examples=200)
def test_no_text_whatever_raises(words):
    records, problems = read_zone_text("$TTL 1\n@ " + " ".join(words), ORIGIN, file="f")
    assert all(problem.place.column for problem in problems)
    for record in records:
        assert len(packed(record.data)) <= 65535
        assert record.data.toZone() is not None
        rdata.target(record.type, record.data)


@given(st.sampled_from(TYPES), st.binary(max_size=40))
@settings(max_examples=150)
def test_no_generic_data_whatever_raises(rtype, wire):
    records, problems = read_zone_text(f"@ 1 {rtype} \\# {len(wire)} {wire.hex()}", ORIGIN, file="f")
    assert len(records) + len(problems) == 1
    for record in records:
        assert packed(record.data) == wire
