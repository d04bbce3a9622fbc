"""The compiled answers are those of the Python responder, byte for byte, or are left to it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from fleets import NOW, PLACES, ZONE, drained, region, world
from taught import (
    AAAA,
    MX,
    NS,
    ORDER,
    PORT,
    SOA,
    SOURCE,
    TXT,
    assert_same,
    locator,
    opt,
    option,
    query,
    subnet,
    twice,
    wire,
)

from gslb.dns.compiled.answering import Book, Exchange, Settings
from gslb.dns.extended_error import ExtendedError
from gslb.dns.packing import Cut, Packed
from gslb.dns.responder import UNANSWERED_PORTS
from gslb.fleet import AllDown, ClientSubnetSettings, CookieSettings
from gslb.policy.nearest import Nearest
from gslb.policy.weighted import Weighted

LONDON, TOKYO = "81.2.69.160", "210.138.184.1"
SPLIT = (Weighted((("us-east", 1.0), ("eu-west", 1.0), ("ap-southeast", 2.0))),)


def test_what_was_not_learned_is_left_to_python():
    pair = twice()
    assert pair.exchange.outcome(query("www.shop.test"), SOURCE, PORT, NOW) == "miss"
    assert pair.exchange.answer(query("www.shop.test"), SOURCE, PORT, NOW) is None


def test_an_exchange_that_was_given_nothing_to_use_leaves_all_to_python():
    assert Exchange(1).outcome(query("www.shop.test"), SOURCE, PORT, NOW) == "miss"


@pytest.mark.parametrize(
    ("name", "rtype"),
    [
        ("shop.test", SOA),
        ("shop.test", NS),
        ("shop.test", MX),
        ("ns1.shop.test", 1),
        ("txt.shop.test", TXT),
        ("alias.shop.test", 1),
        ("loop.shop.test", 1),
        ("nothing.shop.test", 1),
        ("x.wild.shop.test", TXT),
        ("www.sub.shop.test", 1),
        ("www.old.shop.test", 1),
        ("www.shop.test", TXT),
        ("www.shop.test", 1),
        ("www.shop.test", AAAA),
    ],
)
@pytest.mark.parametrize("edns", [b"", opt(), opt(do=True), opt(payload=100), opt(payload=4096)])
def test_every_kind_of_answer_is_repeated_as_it_was(name, rtype, edns):
    pair = twice()
    pair.teach(name, rtype)
    assert_same(pair.ask(query(name, rtype, edns)))


@pytest.mark.parametrize("flags", [0x0100, 0x0020, 0x0010, 0x0040, 0x0200, 0x0400, 0x0080, 0x000F, 0x07FF])
def test_of_the_flags_of_a_query_only_rd_comes_back(flags):
    pair = twice()
    pair.teach("www.shop.test")
    assert_same(pair.ask(query("www.shop.test", flags=flags)))


def test_the_case_of_the_question_is_kept():
    pair = twice()
    pair.teach("www.shop.test")
    expected, outcome = pair.ask(query("wWw.ShOp.TEST"))
    assert outcome == expected
    assert b"wWw\4ShOp\4TEST" in outcome


@pytest.mark.parametrize("length", range(33))
def test_an_ipv4_client_subnet_of_any_length_decides_and_comes_back(length):
    pair = twice()
    for client in (TOKYO, SOURCE, str(ip_network(f"{TOKYO}/{length}", strict=False).network_address)):
        pair.teach("www.shop.test", client=client)
    assert_same(pair.ask(query("www.shop.test", edns=opt(subnet(TOKYO, length)))))


@pytest.mark.parametrize("length", [0, 1, 7, 8, 16, 31, 32, 33, 47, 48, 49, 56, 63, 64, 65, 127, 128])
@pytest.mark.parametrize("policies", [(Nearest(),), SPLIT, (*SPLIT, Nearest())])
def test_an_ipv6_client_subnet_of_any_length_decides_and_comes_back(policies, length):
    pair = twice(policies)
    network = ip_network(f"2a00:1450:4001:829:1:2:3:4/{length}", strict=False)
    for client in (SOURCE, str(network.network_address)):
        pair.teach("www.shop.test", client=client)
    expected, outcome = pair.ask(
        query("www.shop.test", edns=opt(subnet(str(network.network_address), length)))
    )
    # Short prefixes are filled up with zeros, and what begins with zeros may carry an IPv4 address.
    assert outcome == expected or (outcome == "miss" and 0 < length < 3)


@pytest.mark.parametrize(
    "client", ["::ffff:81.2.69.160", "64:ff9b::5102:45a0", "2002:5102:45a0::1", "2001:0:1::1"]
)
@pytest.mark.parametrize("policies", [(Nearest(),), SPLIT])
def test_addresses_that_carry_an_ipv4_address_are_left_to_python(policies, client):
    pair = twice(policies)
    pair.teach("www.shop.test", client=client)
    assert pair.ask(query("www.shop.test", edns=opt(subnet(client, 128))))[1] == "miss"


@pytest.mark.parametrize("policies", [(Nearest(),), SPLIT, (*SPLIT, Nearest())])
@pytest.mark.parametrize("source", [LONDON, "2a00:1450:4001:829::1", "203.0.113.9"])
def test_without_a_subnet_the_source_decides(policies, source):
    pair = twice(policies)
    pair.teach("www.shop.test", client=source)
    for edns in (b"", opt(), opt(subnet("0.0.0.0", 0)), opt(subnet("::", 0))):
        assert_same(pair.ask(query("www.shop.test", edns=edns), source))


def test_clients_of_the_same_place_share_an_answer_and_those_of_another_do_not():
    pair = twice()
    pair.teach("www.shop.test", client=LONDON)
    assert_same(pair.ask(query("www.shop.test", edns=opt(subnet(LONDON, 32)))))
    assert pair.ask(query("www.shop.test", edns=opt(subnet(TOKYO, 32))))[1] == "miss"


def test_a_group_may_be_ordered_from_the_first():
    pair = twice(level=ORDER)
    pair.teach("www.shop.test", client=LONDON)
    assert_same(pair.ask(query("www.shop.test", edns=opt(subnet(LONDON, 24)))))


def test_where_the_first_region_does_not_tell_enough_the_order_does():
    pair = twice(level=ORDER)
    deeper = pair.teach("www.shop.test", client=LONDON)
    vantage = pair.book.vantage(ip_address(LONDON))
    pair.book.learn_question(wire("www.shop.test") + b"\0\1", deeper >> 38, 1, 1, 0)
    packet = query("www.shop.test", edns=opt(subnet(LONDON, 24)))
    assert pair.ask(packet)[1] == "miss"  # nothing is known of what comes first
    pair.book.learn_rank(1, 0, vantage, 5)
    assert pair.ask(packet)[1] == "miss"
    pair.book.learn_outcome((deeper >> 38) << 38 | 5 << 13 | 4096, None)
    assert_same(pair.ask(packet))
    pair.book.learn_outcome(deeper, None)
    assert pair.ask(packet)[1] == "miss"


def test_shares_are_those_of_python():
    pair = twice(SPLIT)
    clients = [f"198.51.{number}.7" for number in range(40)] + [f"2a02:{number:x}::1" for number in range(40)]
    for client in clients:
        pair.teach("www.shop.test", client=client)
    for client in clients:
        assert_same(pair.ask(query("www.shop.test", edns=opt(subnet(client, 32)))))


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\0\1\x18",
        b"\0\1\x18\0\1\2",
        b"\0\1\x18\0\1\2\3\4",
        b"\0\1\x18\1\1\2\3",
        b"\0\1\x17\0\1\2\3",
        b"\0\1\x21\0\1\2\3\4\5",
        b"\0\2\x81\0" + bytes(17),
        b"\0\3\x08\0\1",
        b"\0\0\0\0",
    ],
)
def test_a_client_subnet_that_is_not_plain_is_left_to_python(bad):
    pair = twice()
    pair.teach("www.shop.test")
    assert pair.ask(query("www.shop.test", edns=opt(option(8, bad))))[1] == "miss"


def test_whose_subnet_counts_is_as_configured():
    asked = opt(subnet(LONDON, 24))
    listed = (ip_network("198.51.100.0/24"), ip_network("192.0.2.77/32"), ip_network("2001:db8::/33"))
    for enabled, trusted in ((False, ()), (True, ()), (True, listed)):
        pair = twice(client_subnet=ClientSubnetSettings(enabled, trusted))
        for source in (SOURCE, "192.0.2.78", "198.51.100.255", "2001:db8:7fff::1", "2001:db8:8000::1"):
            for client in (source, LONDON):
                pair.teach("www.shop.test", client=client)
            assert_same(pair.ask(query("www.shop.test", edns=asked), source))


def test_a_subnet_that_does_not_count_may_be_malformed():
    pair = twice(client_subnet=ClientSubnetSettings(False))
    pair.teach("www.shop.test")
    assert_same(pair.ask(query("www.shop.test", edns=opt(option(8, b"\0\7")))))


def test_with_too_many_resolvers_on_the_list_subnets_are_left_to_python():
    trusted = tuple(ip_network(f"10.{number >> 8}.{number & 255}.0/24") for number in range(257))
    pair = twice(client_subnet=ClientSubnetSettings(True, trusted))
    pair.teach("www.shop.test")
    assert_same(pair.ask(query("www.shop.test", edns=opt())))
    assert pair.ask(query("www.shop.test", edns=opt(subnet(LONDON, 24))))[1] == "miss"


def test_options_that_are_not_known_are_passed_over_and_the_first_of_two_counts():
    pair = twice()
    pair.teach("www.shop.test", client=LONDON)
    edns = opt(
        option(11, b""), option(65001, b"x"), subnet(LONDON, 24), subnet(TOKYO, 24), option(12, bytes(9))
    )
    assert_same(pair.ask(query("www.shop.test", edns=edns)))


@pytest.mark.parametrize(
    "edns",
    [
        opt(option(3, b"")),
        opt(version=1),
        opt(b"\0\x0a\0\x09"),
        opt(b"\0\x0a\0"),
        opt()[:-1],
        opt() + b"\0",
        b"\1a" + opt(),
        opt() + opt(),
        b"\xc0\x0c" + opt()[1:],
        opt(option(10, bytes(9))),
        opt(option(10, bytes(41))),
    ],
)
def test_edns_that_is_not_plain_is_left_to_python(edns):
    pair = twice()
    pair.teach("www.shop.test")
    assert pair.ask(query("www.shop.test", edns=edns))[1] == "miss"


@pytest.mark.parametrize(
    "packet",
    [
        query("www.shop.test")[:-1],
        query("www.shop.test") + b"\0",
        query("www.shop.test", flags=0x2000),
        query("www.shop.test", flags=0x0800),
        query("www.shop.test")[:-1] + b"\3",
        query(b"\3www\4shop\4test\xc0\x0c"),
        query(b"\3www\4shop\4test\x40\0"),
        query("www.shop.test")[:5] + b"\2" + query("www.shop.test")[6:],
        query("www.shop.test")[:7] + b"\1" + query("www.shop.test")[8:],
        query("www.shop.test")[:9] + b"\1" + query("www.shop.test")[10:],
        query("www.shop.test")[:11] + b"\1" + query("www.shop.test")[12:],
    ],
)
def test_a_packet_that_is_not_a_plain_query_is_left_to_python(packet):
    pair = twice()
    pair.teach("www.shop.test")
    assert pair.exchange.outcome(packet, SOURCE, PORT, NOW) == "miss"


@pytest.mark.parametrize(
    "packet", [b"", query("www.shop.test")[:11], query("www.shop.test", flags=0x8000)], ids=repr
)
def test_what_is_no_query_takes_nobodys_time(packet):
    pair = twice()
    pair.teach("www.shop.test")
    assert pair.exchange.outcome(packet, SOURCE, PORT, NOW) == "silence"
    assert pair.exchange.counters()["ignored"] == 1


def test_the_longest_name_is_answered_and_a_longer_one_left_to_python():
    pair = twice()
    rest = wire("shop.test")
    room = 255 - len(rest)
    head = b"\x3f" + b"A" * 63
    longest = head * 3 + bytes([room - 193]) + b"B" * (room - 193) + rest
    assert len(longest) == 255
    reply = pair.responder.respond(query(longest), SOURCE, PORT)
    pair.book.learn_answer(longest.lower() + b"\0\1", Packed(0x8403, b"", (Cut(0, 0, 0, 0, False),)))
    assert pair.exchange.outcome(query(longest), SOURCE, PORT, NOW)[:12] == reply[:3] + b"\3\0\1" + bytes(6)
    longer = head * 3 + bytes([room - 192]) + b"B" * (room - 192) + rest
    assert pair.exchange.outcome(query(longer), SOURCE, PORT, NOW) == "miss"


@pytest.mark.parametrize("port", sorted(UNANSWERED_PORTS))
def test_ports_that_are_not_answered_take_nobodys_time(port):
    pair = twice()
    pair.teach("www.shop.test")
    assert pair.ask(query("www.shop.test"), port=port) == (None, "silence")
    assert_same(pair.ask(query("www.shop.test"), port=port + 1 if port != 464 else 463))


CUTTABLE = ZONE + "".join(
    [
        f'long IN TXT "{"x" * 250}" "{"y" * 200}"\n' + f'long IN TXT "{"z" * 250}"\n',
        *(f"mail IN MX {number} mx{number}\n" for number in range(6)),
        *(
            f"mx{number} IN A 192.0.2.{number}\nmx{number} IN AAAA 2001:db8::{number}\n"
            for number in range(6)
        ),
        *(f"cut IN NS ns{number}.cut\nns{number}.cut IN AAAA 2001:db8::{number}\n" for number in range(10)),
    ]
)


@pytest.mark.parametrize(("name", "rtype"), [("long", TXT), ("mail", MX), ("x.cut", 1), ("nothing", 1)])
def test_an_answer_is_cut_where_it_may_be_for_the_room_there_is(name, rtype):
    pair = twice(udp_payload=4096, zone=CUTTABLE)
    name += ".shop.test"
    pair.teach(name, rtype)
    assert_same(pair.ask(query(name, rtype)))
    for payload in (*range(480, 800), 4096, 65535):
        assert_same(pair.ask(query(name, rtype, opt(payload=payload))))
        edns = opt(subnet(LONDON, 24), option(10, b"8 bytes!"), payload=payload)
        assert_same(pair.ask(query(name, rtype, edns)))


@pytest.mark.parametrize("addresses", [1, 27, 28, 29, 30, 40])
def test_an_explanation_gives_way_to_what_answers(addresses):
    crowded = {
        name: region(name, place, [f"192.0.{site}.{number}" for number in range(addresses)])
        for site, (name, place) in enumerate(PLACES.items(), 1)
    }
    pair = twice(regions=crowded)
    pair = type(pair)(replace(pair.authority, world=world(*(drained(name) for name in PLACES))))
    pair.teach("www.shop.test")
    explained = set()
    for payload in range(500, 700, 3):
        for edns in (b"", opt(payload=payload), opt(subnet(SOURCE, 24), payload=payload)):
            expected, outcome = pair.ask(query("www.shop.test", edns=edns))
            assert outcome == expected
            explained.add(b"no region is healthy" in outcome)
    assert True in explained or addresses == 40


def test_an_explanation_that_does_not_fit_is_left_to_python():
    pair = twice(udp_payload=512)
    error = ExtendedError(0, "x" * 480)
    packed = Packed(0x8402, b"", (Cut(0, 0, 0, 0, False),), extended_error=error)
    pair.book.learn_answer(wire("long.shop.test") + b"\0\1", packed)
    assert pair.exchange.outcome(query("long.shop.test", edns=opt()), SOURCE, PORT, NOW) == "miss"
    assert isinstance(pair.exchange.outcome(query("long.shop.test"), SOURCE, PORT, NOW), bytes)


def test_a_failure_is_explained_as_python_does():
    pair = twice(all_down=AllDown.SERVFAIL)
    pair = type(pair)(replace(pair.authority, world=world(*(drained(name) for name in PLACES))))
    pair.teach("www.shop.test", client=LONDON)
    for edns in (b"", opt(), opt(subnet(LONDON, 24))):
        expected, outcome = pair.ask(query("www.shop.test", edns=edns), LONDON)
        assert outcome == expected
    assert b"no region is healthy" in outcome


def test_an_answer_whose_ttl_shrinks_is_left_to_python_from_then_on():
    pair = twice()
    packed = Packed(0x8400, b"", (Cut(0, 0, 0, 0, False),), shrinks_at=NOW + 5)
    pair.book.learn_answer(wire("www.shop.test") + b"\0\1", packed)
    packet = query("www.shop.test")
    assert isinstance(pair.exchange.outcome(packet, SOURCE, PORT, NOW + 4.999), bytes)
    assert pair.exchange.outcome(packet, SOURCE, PORT, NOW + 5) == "miss"


def test_everything_sent_is_counted_and_a_miss_is_a_miss_alone():
    pair = twice(zone=CUTTABLE)
    pair.teach("www.shop.test", client=LONDON)
    pair.teach("nothing.shop.test")
    pair.teach("long.shop.test", TXT)
    pair.ask(query("www.shop.test"), LONDON)
    pair.ask(query("www.shop.test"), LONDON)
    pair.ask(query("nothing.shop.test"))
    pair.ask(query("long.shop.test", TXT))
    pair.ask(query("unknown.shop.test", edns=opt(option(10, b"8 bytes!"))))
    assert pair.exchange.counters() == {
        "answered": 4,
        "silences": 0,
        "ignored": 0,
        "misses": 1,
        "overloads": 0,
        "truncations": 1,
        "stale": 0,
        "rcodes": {0: 3, 3: 1},
        "cookies": {"good": 0, "bad": 0, "new": 0},
    }
    served = [0] * 6
    served[pair.regions.index("eu-west")] = 2
    assert pair.book.served() == served


def test_every_address_has_the_vantage_that_the_network_map_tells():
    network_map = locator().network_map
    book = Book(Exchange(0), network_map, 0)
    for family, version in ((network_map.ipv4, 4), (network_map.ipv6, 6)):
        shift = 0 if version == 4 else 64
        for at in range(0, len(family), len(family) // 997):
            for number in (family.starts[at], max(0, family.starts[at] - 1)):
                address = ip_address((number << shift).to_bytes(4 if version == 4 else 16))
                found = network_map.find4(number) if version == 4 else network_map.find6(number << 64)
                vantage = book.vantage(address)
                assert (vantage == 0) == (found is None)
                assert found is None or network_map.location(vantage) is found.location
    for last in ("255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "0.0.0.0", "::"):
        assert book.vantage(ip_address(last)) is not None


def test_without_a_network_map_no_address_is_anywhere():
    assert Book(Exchange(0), None, 0).vantage(ip_address(LONDON)) == 0


@pytest.mark.parametrize(("payload", "secrets"), [(511, None), (65536, None), (1232, [bytes(15)])])
def test_settings_that_cannot_be_are_refused(payload, secrets):
    with pytest.raises(ValueError, match=r"udp_payload|secret"):
        Settings(payload, None, secrets, None, True)


def test_cookies_that_are_off_are_passed_over():
    pair = twice(cookies=CookieSettings(enabled=False))
    pair.teach("www.shop.test")
    assert_same(pair.ask(query("www.shop.test", edns=opt(option(10, bytes(5))))))
