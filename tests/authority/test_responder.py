"""Packets in, packets out: checked with dnspython, a reader that shares no code with ours."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import ip_address, ip_network

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest
from fleets import (
    NOW,
    ZONE,
    MapLocator,
    authority,
    drained,
    fleet,
    fleets,
    locations,
    region,
    state,
    world,
    worlds,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.clock import FakeClock
from gslb.dns.answer_cache import MOST_PASSING
from gslb.dns.name import from_text
from gslb.dns.outcomes import MOST_OUTCOMES
from gslb.dns.responder import Responder
from gslb.fleet import AllDown, ClientSubnetSettings, GeoSettings, TimeToLive
from gslb.geo.location import Coordinates
from gslb.geo.locator import Locator
from gslb.policy.failover import Failover
from gslb.policy.geo import Geo, GeoRule
from gslb.policy.weighted import Weighted
from gslb.world import Verdict

EAST, WEST, ASIA = "192.0.2.1", "192.0.2.2", "192.0.2.3"


def responder(made=None, known=None, **more):
    return Responder(authority(made, known, **more), FakeClock(NOW))


def ask(who, name="www.shop.test", rtype="A", *, subnet=None, source="10.9.9.9", stream=False, **edns):
    """The answer as dnspython reads it; subnet as `10.1.2.0/24`."""
    query = dns.message.make_query(name, rtype, **edns)
    if subnet is not None:
        network = ip_network(subnet)
        option = dns.edns.ECSOption(str(network.network_address), network.prefixlen)
        query.use_edns(options=[option], payload=edns.get("payload", 1232))
    return exchange(who, query, source, stream=stream)


def exchange(who, query, source="10.9.9.9", *, stream=False):
    answer = dns.message.from_wire(who.respond(query.to_wire(), source, stream=stream))
    assert query.is_response(answer)
    return answer


def addresses(answer):
    return [str(each) for rrset in answer.answer for each in rrset if rrset.rdtype in (1, 28)]


def scope(answer):
    (option,) = (each for each in answer.options if isinstance(each, dns.edns.ECSOption))
    return option.scopelen


def test_a_client_is_told_the_nearest_region():
    who = responder()
    assert addresses(ask(who, source="10.1.2.3")) == [WEST]
    assert addresses(ask(who, source="10.2.2.3")) == [ASIA]
    assert addresses(ask(who, source="10.3.2.3", rtype="AAAA")) == ["2001:db8::1"]


def test_the_client_subnet_decides_and_comes_back_with_its_scope():
    answer = ask(responder(), subnet="10.2.7.0/24", source="10.1.2.3")
    assert addresses(answer) == [ASIA]
    assert scope(answer) == 16
    assert answer.options[0].srclen == 24


def test_a_client_subnet_of_no_bits_leaves_the_resolver_to_decide():
    answer = ask(responder(), subnet="0.0.0.0/0", source="10.1.2.3")
    assert addresses(answer) == [WEST]
    assert scope(answer) == 0


def test_client_subnets_can_be_switched_off():
    who = responder(fleet(client_subnet=ClientSubnetSettings(enabled=False)))
    answer = ask(who, subnet="10.2.0.0/24", source="10.1.0.1")
    assert addresses(answer) == [WEST]
    assert not answer.options


def test_what_does_not_depend_on_the_client_has_scope_zero():
    who = responder(fleet([Failover(("us-east",))]))
    assert scope(ask(who, subnet="10.1.2.0/24")) == 0
    assert scope(ask(who, "txt.shop.test", "TXT", subnet="10.1.2.0/24")) == 0
    assert scope(ask(who, "nothing.shop.test", subnet="10.1.2.0/24")) == 0


def test_a_split_is_scoped_to_the_network_it_goes_by():
    who = responder(fleet([Weighted((("us-east", 1), ("eu-west", 1)))]))
    answers = [ask(who, subnet=f"10.1.{third}.0/24") for third in range(64)]
    assert {scope(answer) for answer in answers} == {24}
    assert {addresses(answer)[0] for answer in answers} == {EAST, WEST}


def test_an_answer_without_edns_has_none():
    query = dns.message.make_query("www.shop.test", "A", use_edns=False)
    assert exchange(responder(), query).edns == -1


def test_the_case_of_the_name_and_the_flags_of_the_query_come_back():
    query = dns.message.make_query("wWw.ShOp.TeSt", "A", want_dnssec=True)
    answer = exchange(responder(), query)
    assert answer.question[0].name.to_text() == "wWw.ShOp.TeSt."
    assert answer.flags & dns.flags.AA
    assert answer.flags & dns.flags.RD
    assert not answer.flags & dns.flags.RA
    assert answer.ednsflags & dns.flags.DO
    assert answer.payload == 1232


def test_static_data_is_answered():
    who = responder()
    assert [each.to_text() for each in ask(who, "txt.shop.test", "TXT").answer[0]] == ['"hello" "world"']
    assert ask(who, "shop.test", "SOA").answer[0][0].serial == 7
    assert ask(who, "shop.test", "NS").answer[0][0].to_text() == "ns1.shop.test."
    wildcard = ask(who, "a.b.wild.shop.test", "TXT")
    assert wildcard.answer[0].name.to_text() == "a.b.wild.shop.test."


@pytest.mark.parametrize(
    ("name", "rtype", "rcode"),
    [
        ("nothing.shop.test", "A", dns.rcode.NXDOMAIN),
        ("www.shop.test", "MX", dns.rcode.NOERROR),
        ("er.shop.test", "A", dns.rcode.NOERROR),
        ("shop.test", "A", dns.rcode.NOERROR),
    ],
)
def test_negative_answers_carry_the_soa_with_the_negative_ttl(name, rtype, rcode):
    answer = ask(responder(), name, rtype)
    assert answer.rcode() == rcode
    assert not answer.answer
    (soa,) = answer.authority
    assert (soa.rdtype, soa.ttl) == (dns.rdatatype.SOA, 300)
    assert answer.flags & dns.flags.AA


def test_names_of_others_are_refused():
    answer = ask(responder(), "www.elsewhere.test")
    assert answer.rcode() == dns.rcode.REFUSED
    assert not answer.flags & dns.flags.AA


def test_an_alias_of_a_service_is_followed():
    answer = ask(responder(), "alias.shop.test", subnet="10.1.2.0/24")
    assert [rrset.rdtype for rrset in answer.answer] == [dns.rdatatype.CNAME, dns.rdatatype.A]
    assert addresses(answer) == [WEST]
    assert scope(answer) == 16


def test_an_alias_out_of_the_zone_or_in_a_loop_ends():
    far = ask(responder(), "far.shop.test")
    assert far.rcode() == dns.rcode.NOERROR
    assert len(far.answer) == 1
    assert len(ask(responder(), "loop.shop.test").answer) == 2


def test_a_cut_is_referred_with_glue():
    answer = ask(responder(), "host.sub.shop.test")
    assert not answer.flags & dns.flags.AA
    assert not answer.answer
    assert answer.authority[0].rdtype == dns.rdatatype.NS
    assert [str(glue.name) for glue in answer.additional] == ["ns.sub.shop.test."]


def test_a_dname_renames_what_is_below_it():
    answer = ask(responder(), "www.old.shop.test")
    kinds = [(rrset.rdtype, rrset.name.to_text()) for rrset in answer.answer]
    assert kinds == [
        (dns.rdatatype.DNAME, "old.shop.test."),
        (dns.rdatatype.CNAME, "www.old.shop.test."),
        (dns.rdatatype.A, "www.new.shop.test."),
    ]
    assert answer.answer[1][0].to_text() == "www.new.shop.test."
    assert ask(responder(), "old.shop.test", "DNAME").answer[0][0].to_text() == "new.shop.test."
    long = ".".join(["x" * 60] * 3 + ["y" * 54])
    zone = f"{ZONE}\nlong IN DNAME {'z' * 60}.new\n"
    assert ask(responder(fleet(zone=zone)), f"{long}.long.shop.test").rcode() == dns.rcode.YXDOMAIN


def test_an_alias_with_an_escaped_dot_is_followed():
    assert addresses(ask(responder(), "odd.shop.test")) == ["192.0.2.9"]


def test_any_at_an_alias_is_the_alias():
    (rrset,) = ask(responder(), "alias.shop.test", "ANY").answer
    assert rrset.rdtype == dns.rdatatype.CNAME


def test_that_a_service_has_no_ipv6_is_told_to_everybody_at_once():
    regions = {"only": region("only", Coordinates(0, 0), ("192.0.2.1",))}
    who = responder(fleet(regions=regions))
    answer = ask(who, rtype="AAAA", subnet="10.1.2.0/24")
    assert answer.rcode() == dns.rcode.NOERROR
    assert scope(answer) == 0
    ask(who, rtype="AAAA", subnet="10.2.2.0/24")
    assert who.hits == 1
    assert not who.served


def test_a_carried_ipv4_address_and_the_plain_one_never_take_each_others_answers():
    networks = [ip_network("10.0.0.0/8"), ip_network("2002::/16")]
    rules = tuple(
        GeoRule((name,), network=(network,))
        for name, network in zip(("ap-southeast", "us-east"), networks, strict=True)
    )
    made = fleet([Geo(rules)])
    locator = Locator(GeoSettings(databases=()), made.networks())
    subnets = ["10.1.2.0/24", "2002:0a01:0200::/40", "64:ff9b::a01:200/120"]
    for order in (subnets, subnets[::-1]):
        who = responder(made, locator=locator)
        for subnet in order:
            address = ip_network(subnet).network_address
            decision = who.authority.explain("www.shop.test", "A", address, NOW).decision
            assert addresses(ask(who, subnet=subnet)) == [str(decision.answering[4][0].addresses[0])]


def test_answers_are_cached_while_an_override_runs_out():
    who = responder(fleet(ttl=TimeToLive(3600, 5, 7200)), world(drained("eu-west", until=NOW + 1800.5)))
    for _ in range(10):
        ask(who, source="10.1.2.3")
    assert who.hits == 9


def test_an_answer_is_counted_for_the_region_that_gives_it():
    regions = {
        "near": region("near", Coordinates(51, 0), ("192.0.2.1",)),
        "far": region("far", Coordinates(0, 100), ("192.0.2.2", "2001:db8::2")),
    }
    who = responder(fleet(regions=regions))
    ask(who, rtype="A", source="10.1.2.3")
    ask(who, rtype="AAAA", source="10.1.2.3")
    assert dict(who.served) == {("www.shop.test", "near"): 1, ("www.shop.test", "far"): 1}


def test_any_is_answered_small():
    (rrset,) = ask(responder(), "shop.test", "ANY").answer
    assert rrset.rdtype == dns.rdatatype.HINFO


def test_when_nothing_is_eligible_servfail_can_be_asked_for():
    down = [state(name, Verdict.DOWN) for name in ("us-east", "eu-west", "ap-southeast")]
    who = responder(fleet(all_down=AllDown.SERVFAIL), world(*down))
    assert ask(who, subnet="10.1.0.0/24").rcode() == dns.rcode.SERVFAIL


def test_what_does_not_fit_is_truncated_whole_and_whole_over_tcp():
    text = "".join(f'big IN TXT "{"x" * 200}{number}"\n' for number in range(8))
    who = responder(fleet(zone=ZONE + text))
    small = ask(who, "big.shop.test", "TXT", payload=1232, use_edns=0)
    assert small.flags & dns.flags.TC
    assert not small.answer
    assert small.edns == 0
    assert len(ask(who, "big.shop.test", "TXT", stream=True).answer[0]) == 8


def test_a_new_world_is_in_force_with_the_next_query():
    made = fleet()
    who = responder(made)
    assert addresses(ask(who, source="10.1.2.3")) == [WEST]
    before = who.authority
    who.use(authority(made, world(drained("eu-west"))))
    assert addresses(ask(who, source="10.1.2.3")) == [EAST]
    who.use(before)
    assert addresses(ask(who, source="10.1.2.3")) == [WEST]


def test_a_world_with_equal_regions_keeps_what_is_cached():
    who = responder()
    ask(who)
    old = who.authority
    regions = old.world.regions
    who.use(replace(old, world=replace(old.world, at=NOW + 1, regions=regions)))
    hits = who.hits
    ask(who)
    assert who.hits == hits + 1


def test_a_ttl_that_must_shrink_is_not_repeated_from_the_cache():
    clock = FakeClock(NOW)
    who = Responder(authority(known=world(drained("eu-west", until=NOW + 40))), clock)
    assert ask(who, source="10.1.2.3").answer[0].ttl == 30
    clock.advance(25)
    assert ask(who, source="10.1.2.3").answer[0].ttl == 15


def test_the_cache_is_bounded(monkeypatch):
    monkeypatch.setattr("gslb.dns.outcomes.MOST_OUTCOMES", 10)
    who = responder(fleet([Weighted((("us-east", 1), ("eu-west", 1)))]))
    for number in range(25):
        ask(who, subnet=f"10.1.{number}.0/24")
    assert who.cached == 10
    assert who.overflows == 15
    assert MOST_OUTCOMES > 1000
    hits = who.hits
    ask(who, subnet="10.1.24.0/24")
    assert who.hits == hits + 1


def test_a_flood_of_names_that_do_not_exist_drives_out_no_answer(monkeypatch):
    monkeypatch.setattr("gslb.dns.answer_cache.MOST_PASSING", 10)
    who = responder()
    ask(who)
    for number in range(25):
        ask(who, f"nothing{number}.shop.test")
        ask(who, "www.shop.test", f"TYPE{1000 + number}")
        ask(who, f"x{number}.wild.shop.test", "TXT")
        ask(who, f"x{number}.old.shop.test", "TXT")
        ask(who, f"x{number}.elsewhere.test")
    assert who.cached <= 11
    hits = who.hits
    ask(who)
    assert who.hits == hits + 1
    assert MOST_PASSING > 1000


# Packets that are not ordinary queries.

HEADER = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0)
QUESTION = from_text("www.shop.test") + struct.pack("!HH", 1, 1)


def opt(data=b"", *, version=0, payload=1232):
    return struct.pack("!BHHIH", 0, 41, payload, version << 16, len(data)) + data


def with_opt(*records):
    return struct.pack("!6H", 7, 0, 1, 0, 0, len(records)) + QUESTION + b"".join(records)


def subnet_option(family=1, source=24, scope_length=0, address=b"\x0a\x01\x02"):
    data = struct.pack("!HBB", family, source, scope_length) + address
    return opt(struct.pack("!HH", 8, len(data)) + data)


@pytest.mark.parametrize(
    ("packet", "rcode"),
    [
        (b"", None),
        (HEADER[:11], None),
        (struct.pack("!6H", 7, 0x8000, 1, 0, 0, 0) + QUESTION, None),
        (struct.pack("!6H", 7, 0x2800, 1, 0, 0, 0) + QUESTION, dns.rcode.NOTIMP),
        (HEADER, dns.rcode.FORMERR),
        (struct.pack("!6H", 7, 0, 0, 0, 0, 0), dns.rcode.FORMERR),
        (struct.pack("!6H", 7, 0, 2, 0, 0, 0) + QUESTION * 2, dns.rcode.FORMERR),
        (struct.pack("!6H", 7, 0, 1, 1, 0, 0) + QUESTION, dns.rcode.FORMERR),
        (HEADER + QUESTION + b"x", dns.rcode.FORMERR),
        (HEADER + QUESTION[:-1], dns.rcode.FORMERR),
        (HEADER + b"\xc0\x0c" + QUESTION[-4:], dns.rcode.FORMERR),
        (HEADER + b"\x41" + b"a" * 65 + b"\x00" + QUESTION[-4:], dns.rcode.FORMERR),
        (HEADER + (b"\x3f" + b"a" * 63) * 4 + b"\x00" + QUESTION[-4:], dns.rcode.FORMERR),
        (with_opt(opt(), opt()), dns.rcode.FORMERR),
        (with_opt(opt(b"\x00\x08\x00\x09\x00")), dns.rcode.FORMERR),
        (with_opt(opt(version=1)), dns.rcode.BADVERS),
        (with_opt(opt(b"\xff\xfe\x00\x01x")), dns.rcode.NOERROR),
        (with_opt(subnet_option()), dns.rcode.NOERROR),
        (with_opt(subnet_option(family=3)), dns.rcode.FORMERR),
        (with_opt(subnet_option(family=0, source=0, address=b"")), dns.rcode.NOERROR),
        (with_opt(subnet_option(family=0)), dns.rcode.FORMERR),
        (with_opt(subnet_option(source=33, address=b"\x0a\x01\x02\x03\x04")), dns.rcode.FORMERR),
        (with_opt(subnet_option(scope_length=8)), dns.rcode.FORMERR),
        (with_opt(subnet_option(address=b"\x0a\x01")), dns.rcode.FORMERR),
        (with_opt(subnet_option(address=b"\x0a\x01\x02\x00")), dns.rcode.FORMERR),
        (with_opt(subnet_option(source=23)), dns.rcode.NOERROR),
        (with_opt(subnet_option(source=23, address=b"\x0a\x01\x03")), dns.rcode.FORMERR),
        (HEADER + QUESTION[:-2] + b"\x00\x03", dns.rcode.REFUSED),
        (HEADER + QUESTION[:-2] + b"\x00\xff", dns.rcode.REFUSED),
    ],
)
def test_odd_packets_get_the_right_rcode_or_silence(packet, rcode):
    answer = responder().respond(packet, "10.9.9.9")
    if rcode is None:
        assert answer is None
        return
    assert answer[:2] == packet[:2]
    assert dns.message.from_wire(answer).rcode() == rcode


@given(st.binary(max_size=600))
def test_any_bytes_get_an_answer_that_parses_or_silence(packet):
    check_any(packet)


@given(st.integers(0, 65535), st.binary(min_size=8, max_size=8), st.binary(max_size=100))
def test_any_header_and_tail_around_a_question_too(flags, counts, tail):
    check_any(struct.pack("!HH", 7, flags) + counts + QUESTION + tail)
    check_any(struct.pack("!6H", 7, flags & 0x7FFF, 1, 0, 0, 1) + QUESTION + opt(tail))


WHO = responder()


def check_any(packet):
    answer = WHO.respond(packet, "10.9.9.9")
    if answer is not None:
        assert answer[:2] == packet[:2]
        assert answer[2] & 0x80
        dns.message.from_wire(answer)


# The promise of the whole: what explains and what answers are one.

subnets = st.builds(
    lambda second, third, length: str(ip_network(f"10.{second}.{third}.0/{length}", strict=False)),
    st.integers(0, 4),
    st.integers(0, 255),
    st.integers(8, 24),
)
maps = st.lists(locations, min_size=5, max_size=5).map(
    lambda found: MapLocator({f"10.{number}.0.0/16": place for number, place in enumerate(found)})
)


@settings(deadline=None)
@given(st.data())
def test_explain_and_the_packet_always_agree(data):
    made = data.draw(fleets())
    locator = data.draw(maps)
    known = authority(made, data.draw(worlds(made)), locator=locator)
    who = Responder(known, FakeClock(NOW))
    for _ in range(2):
        subnet = data.draw(subnets)
        rtype = data.draw(st.sampled_from(("A", "AAAA")))
        answer = ask(who, rtype=rtype, subnet=subnet)
        client = ip_address(subnet.partition("/")[0])
        reply = known.explain("www.shop.test", rtype, client, NOW)
        decision = reply.decision
        answering = decision.answering.get(4 if rtype == "A" else 6, ())
        told = [address for each in answering for address in each.addresses]
        assert addresses(answer) == [str(address) for address in told]
        assert answer.rcode() == reply.rcode
        assert scope(answer) == (decision.scope if told else 0)
        for rrset in answer.answer:
            assert rrset.ttl == decision.ttl
