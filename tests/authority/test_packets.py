"""Every kind of query gets the right kind of answer, as the RFCs want it; read with dnspython."""

from __future__ import annotations

import struct

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import pytest
from fleets import NOW, ZONE, authority, fleet, state, world

from gslb.clock import FakeClock
from gslb.dns.name import from_text
from gslb.dns.responder import UNANSWERED_PORTS, Responder
from gslb.fleet import (
    AllDown,
    ClientSubnetSettings,
    CookieSettings,
    Node,
    RateLimitSettings,
    Secret,
    SocketAddress,
    TransferKey,
)
from gslb.geo.location import IPNetwork
from gslb.world import Verdict

RESOLVER = "10.9.9.9"
NODE = Node("ns1", (SocketAddress("127.0.0.1", 53),), None, "ns1.london")


def responder(*states, zone=ZONE, all_down=AllDown.ANSWER_ALL, **dns_settings):
    made = fleet(zone=zone, all_down=all_down, nodes={"ns1": NODE}, **dns_settings)
    return Responder(authority(made, world(*states)), FakeClock(NOW), "ns1")


def question(name="www.shop.test", rtype=1, class_=1):
    return from_text(name) + struct.pack("!HH", rtype, class_)


def packet(*additional, opcode=0, flags=0, name="www.shop.test", rtype=1, class_=1):
    head = struct.pack("!6H", 7, opcode << 11 | flags, 1, 0, 0, len(additional))
    return head + question(name, rtype, class_) + b"".join(additional)


def opt(*options, version=0, payload=1232, flags=0):
    data = b"".join(struct.pack("!HH", code, len(body)) + body for code, body in options)
    return struct.pack("!BHHIH", 0, 41, payload, version << 16 | flags, len(data)) + data


def ask(who, wire, source=RESOLVER, port=4000, *, stream=False):
    answer = who.respond(wire, source, port, stream=stream)
    assert answer is not None
    read = dns.message.from_wire(answer)
    assert read.id == struct.unpack_from("!H", wire)[0]
    assert read.flags & dns.flags.QR
    return read


def options_of(answer, code):
    return [option for option in answer.options if option.otype == code]


def extended_errors(answer):
    return [int(option.code) for option in options_of(answer, dns.edns.OptionType.EDE)]


# RFC 1035, RFC 8906: what cannot be answered, and how that is told.


@pytest.mark.parametrize("opcode", [1, 2, 3, 5, 6, 7, 15])
def test_an_opcode_that_is_not_ours_is_not_implemented_and_comes_back(opcode):
    answer = ask(responder(), packet(opt(), opcode=opcode, name="shop.test", rtype=6))
    assert answer.rcode() == dns.rcode.NOTIMP
    assert answer.opcode() == opcode
    assert answer.edns == 0
    assert extended_errors(answer) == [21]


@pytest.mark.parametrize(
    "wire", [packet(flags=0x8000), b"", packet()[:11]], ids=["response", "empty", "runt"]
)
def test_responses_and_runts_get_silence(wire):
    who = responder()
    assert who.respond(wire, RESOLVER, 4000) is None
    assert who.silences == 1


@pytest.mark.parametrize("port", sorted(UNANSWERED_PORTS))
def test_ports_whose_services_answer_anything_get_silence(port):
    assert responder().respond(packet(), RESOLVER, port) is None


def test_a_malformed_client_subnet_is_told_with_opt_and_question():
    wire = packet(opt((8, b"\x00\x01\x21\x00\x0a"), flags=0x8000))
    answer = ask(responder(), wire)
    assert answer.rcode() == dns.rcode.FORMERR
    assert answer.edns == 0
    assert answer.ednsflags & dns.flags.DO
    assert answer.question[0].name.to_text() == "www.shop.test."


def test_a_malformed_packet_without_edns_is_told_without_opt():
    answer = ask(responder(), packet() + b"trailing")
    assert answer.rcode() == dns.rcode.FORMERR
    assert answer.edns == -1


def test_two_questions_are_malformed_and_neither_comes_back():
    wire = struct.pack("!6H", 7, 0, 2, 0, 0, 1) + question() * 2 + opt()
    answer = ask(responder(), wire)
    assert (answer.rcode(), answer.question, answer.edns) == (dns.rcode.FORMERR, [], 0)


def test_an_unknown_edns_version_is_told_with_ours_and_its_options_are_not_read():
    answer = ask(responder(), packet(opt((8, b"nonsense"), version=1)))
    assert answer.rcode() == dns.rcode.BADVERS
    assert answer.edns == 0
    assert not answer.answer


def test_unknown_options_and_flags_are_passed_over():
    answer = ask(responder(), packet(opt((65001, b"what"), (65002, b""), flags=0x7FFF)))
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.answer
    assert not answer.options
    assert answer.ednsflags == 0


def test_reserved_header_bits_do_not_come_back():
    answer = ask(responder(), packet(flags=0x0070))
    assert answer.answer
    assert not answer.flags & 0x0070


@pytest.mark.parametrize("class_", [2, 4, 254, 255, 4096])
def test_other_classes_are_refused(class_):
    assert ask(responder(), packet(class_=class_)).rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize(
    ("rtype", "rcode"),
    [(41, "FORMERR"), (128, "FORMERR"), (250, "FORMERR"), (249, "NOTIMP"), (253, "NOTIMP"), (254, "NOTIMP")],
)
def test_types_that_cannot_be_asked_for_are_told(rtype, rcode):
    answer = ask(responder(), packet(opt(), rtype=rtype))
    assert answer.rcode() == dns.rcode.from_text(rcode)
    assert extended_errors(answer) == [30]


@pytest.mark.parametrize("rtype", [0, 10, 99, 1000, 65280])
def test_types_that_nobody_knows_have_no_data(rtype):
    answer = ask(responder(), packet(rtype=rtype))
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.authority[0].rdtype == dns.rdatatype.SOA


# RFC 2181 9, RFC 9471: what is cut where.


def test_a_message_is_cut_after_a_whole_rrset_and_keeps_its_opt():
    zone = ZONE + "a IN CNAME big\n" + "".join(f'big IN TXT "{"x" * 200}{number}"\n' for number in range(8))
    who = responder(zone=zone)
    answer = ask(who, packet(opt(payload=600), name="a.shop.test", rtype=16))
    assert answer.flags & dns.flags.TC
    assert answer.edns == 0
    assert [rrset.rdtype for rrset in answer.answer] == [dns.rdatatype.CNAME]
    assert who.truncations == 1
    whole = ask(who, packet(opt(), name="a.shop.test", rtype=16), stream=True)
    assert [len(rrset) for rrset in whole.answer] == [1, 8]
    assert not whole.flags & dns.flags.TC


def test_names_far_inside_a_long_message_are_not_pointed_to():
    lines = [f"@ IN MX {number} a-mail-exchanger-number-{number % 700}.hosts\n" for number in range(1400)]
    lines += [f"a-mail-exchanger-number-{number}.hosts IN A 192.0.2.1\n" for number in range(700)]
    answer = ask(responder(zone=ZONE + "".join(lines)), packet(name="shop.test", rtype=15), stream=True)
    assert len(answer.answer[0]) == 1400
    assert {str(each.exchange).split(".")[1] for each in answer.answer[0]} == {"hosts"}


def many_servers(target):
    lines = []
    for number in range(9):
        name = target.format(number)
        lines.append(f"many IN NS {name}\n{name} IN A 192.0.2.{number}\n{name} IN AAAA 2001:db8::{number}\n")
    return ZONE + "".join(lines)


def test_a_referral_whose_own_glue_does_not_fit_is_truncated():
    answer = ask(responder(zone=many_servers("nameserver{}.many")), packet(name="x.many.shop.test"))
    assert answer.flags & dns.flags.TC
    assert len(answer.authority[0]) == 9
    assert answer.additional


def test_a_referral_whose_sibling_glue_does_not_fit_is_not():
    answer = ask(responder(zone=many_servers("nameserver{}")), packet(name="x.many.shop.test"))
    assert not answer.flags & dns.flags.TC
    assert len(answer.authority[0]) == 9
    assert answer.additional


def test_any_does_not_hide_a_hinfo_that_is_there():
    answer = ask(responder(zone=ZONE + 'h IN HINFO "PC" "LINUX"\n'), packet(name="h.shop.test", rtype=255))
    assert answer.answer[0].to_text().endswith('"PC" "LINUX"')


# RFC 8482, RFC 4892, RFC 5001, RFC 8914, RFC 7828.


def chaos(name, rtype=16):
    return packet(name=name, rtype=rtype, class_=3)


@pytest.mark.parametrize("name", ["hostname.bind", "ID.server"])
def test_the_identity_is_told_in_the_class_chaos(name):
    answer = ask(responder(), chaos(name))
    (rrset,) = answer.answer
    assert (rrset.rdclass, rrset.ttl) == (dns.rdataclass.CH, 0)
    assert rrset[0].strings == (b"ns1.london",)


def test_the_version_is_told_only_by_choice():
    for name in ("version.bind", "version.server"):
        assert ask(responder(), chaos(name)).rcode() == dns.rcode.REFUSED
        assert ask(responder(version="gslb"), chaos(name)).answer[0][0].strings == (b"gslb",)


def test_the_identity_can_be_kept_secret():
    who = responder(tells_identity=False)
    assert ask(who, chaos("id.server")).rcode() == dns.rcode.REFUSED
    assert not ask(who, packet(opt((3, b"")))).options


def test_a_node_that_is_asked_for_its_identifier_tells_it():
    (option,) = ask(responder(), packet(opt((3, b"")))).options
    assert option.nsid == b"ns1.london"


def test_names_of_others_are_refused_with_the_reason():
    assert extended_errors(ask(responder(), packet(opt(), name="www.elsewhere.test"))) == [20]


@pytest.mark.parametrize(
    ("all_down", "rcode"), [(AllDown.ANSWER_ALL, "NOERROR"), (AllDown.SERVFAIL, "SERVFAIL")]
)
def test_that_all_regions_are_down_is_told(all_down, rcode):
    down = [state(name, Verdict.DOWN) for name in ("us-east", "eu-west", "ap-southeast")]
    answer = ask(responder(*down, all_down=all_down), packet(opt()))
    assert answer.rcode() == dns.rcode.from_text(rcode)
    assert extended_errors(answer) == [23]
    assert not extended_errors(ask(responder(), packet(opt())))


def test_a_tcp_client_learns_how_long_it_may_idle_and_a_udp_client_does_not():
    wire = packet(opt((11, b"")))
    (option,) = ask(responder(), wire, stream=True).options
    assert option.data == b"\x00\x64"
    assert not ask(responder(), wire).options
    assert ask(responder(), packet(opt((11, b"\x00\x64")))).rcode() == dns.rcode.NOERROR


def test_options_that_do_not_count_may_have_any_form():
    off = {"client_subnet": ClientSubnetSettings(enabled=False), "cookies": CookieSettings(enabled=False)}
    answer = ask(responder(**off), packet(opt((8, b"\x00\x03\x18\x00"), (10, b"ninebytes"))))
    assert answer.rcode() == dns.rcode.NOERROR
    assert not answer.options


# RFC 1996.


def test_a_notify_for_a_zone_of_ours_is_acknowledged():
    soa = from_text("shop.test") + struct.pack("!HHIH", 6, 1, 0, 22) + b"\x00\x00" + bytes(20)
    wire = struct.pack("!6H", 7, 4 << 11 | 0x0400, 1, 1, 0, 0) + question("shop.test", 6) + soa
    answer = ask(responder(), wire)
    assert (answer.rcode(), answer.opcode()) == (dns.rcode.NOERROR, dns.opcode.NOTIFY)
    assert answer.flags & dns.flags.AA
    other = ask(responder(), packet(opt(), opcode=4, name="elsewhere.test", rtype=6))
    assert other.rcode() == dns.rcode.NOTAUTH
    odd = ask(responder(), packet(opcode=4, name="shop.test", rtype=1))
    assert odd.rcode() == dns.rcode.FORMERR


# RFC 7871 11: whose word counts.


def subnet(text="10.2.7.0", length=24):
    return dns.edns.ECSOption(text, length).to_wire()


def trusting(*networks: IPNetwork):
    return responder(client_subnet=ClientSubnetSettings(trusted=networks))


def test_only_trusted_resolvers_speak_for_their_clients():
    from ipaddress import ip_network

    who = trusting(ip_network("10.9.0.0/16"), ip_network("2001:db8::/32"))
    wire = packet(opt((8, subnet())))
    for trusted in ("10.9.9.9", "2001:db8::53"):
        answer = ask(who, wire, trusted)
        assert [each.to_text() for each in answer.answer[0]] == ["192.0.2.3"]
        assert answer.options[0].scopelen == 16
    answer = ask(who, wire, "10.1.0.1")
    assert [each.to_text() for each in answer.answer[0]] == ["192.0.2.2"]
    assert not answer.options


def test_a_client_subnet_of_no_family_is_somebody_who_tells_nothing():
    answer = ask(responder(), packet(opt((8, bytes(4)))))
    assert answer.answer
    assert not answer.options


# RFC 7873, RFC 9018: cookies; and what they spare.

SECRET = Secret("e5e973e5a6b2a43f48e7dc849e37bfcf")
LIMITED = RateLimitSettings(responses_per_second=3, errors_per_second=2, slip=2)


def limited(**more):
    return responder(cookies=CookieSettings(secrets=(SECRET,)), rate_limit=LIMITED, **more)


def cookie_of(answer):
    (option,) = options_of(answer, dns.edns.OptionType.COOKIE)
    return option.client + option.server


def test_a_client_cookie_is_answered_with_a_server_cookie():
    who = limited()
    cookie = cookie_of(ask(who, packet(opt((10, b"12345678")))))
    assert cookie.startswith(b"12345678")
    assert len(cookie) == 24
    assert cookie_of(ask(who, packet(opt((10, cookie))))) == cookie
    assert dict(who.cookies) == {"new": 1, "good": 1}


def test_a_cookie_can_be_had_without_a_question():
    wire = struct.pack("!6H", 7, 0, 0, 0, 0, 1) + opt((10, b"12345678"))
    answer = ask(responder(), wire)
    assert answer.rcode() == dns.rcode.NOERROR
    assert len(cookie_of(answer)) == 24


def test_a_cookie_of_another_client_is_replaced():
    who = limited()
    cookie = cookie_of(ask(who, packet(opt((10, b"12345678")))))
    other = cookie_of(ask(who, packet(opt((10, cookie))), "10.9.9.8"))
    assert other[:8] == cookie[:8]
    assert other != cookie
    assert who.cookies["bad"] == 1


@pytest.mark.parametrize("length", [0, 7, 9, 15, 41])
def test_cookies_of_impossible_lengths_are_malformed(length):
    assert ask(responder(), packet(opt((10, bytes(length))))).rcode() == dns.rcode.FORMERR


def test_cookies_can_be_switched_off():
    assert not ask(responder(cookies=CookieSettings(enabled=False)), packet(opt((10, b"12345678")))).options


def test_beyond_the_limit_every_other_answer_is_cut_and_the_rest_is_dropped():
    who = limited()
    answers = [who.respond(packet(opt()), RESOLVER, 4000) for _ in range(9)]
    kinds = [
        "-" if a is None else "tc" if dns.message.from_wire(a).flags & dns.flags.TC else "ok" for a in answers
    ]
    assert kinds[:3] == ["ok"] * 3
    assert sorted(kinds[3:]) == ["-"] * 3 + ["tc"] * 3
    for answer in answers[3:]:
        assert answer is None or len(answer) <= len(packet(opt()))
    assert who.respond(packet(), "10.8.0.1", 4000) is not None


def test_errors_have_a_limit_of_their_own():
    who = limited()
    for _ in range(9):
        who.respond(packet(name="nothing.shop.test"), RESOLVER, 4000)
        who.respond(packet() + b"x", RESOLVER, 4000)
    assert ask(who, packet()).answer


def test_a_cut_answer_says_no_more_than_it_must():
    who = limited()
    wire = packet(opt((3, b""), (8, subnet()), (10, b"12345678")))
    answers = [who.respond(wire, RESOLVER, 4000) for _ in range(9)]
    cut = [dns.message.from_wire(each) for each in answers[3:] if each is not None]
    assert cut
    for answer in cut:
        kinds = {option.otype for option in answer.options}
        assert kinds == {dns.edns.OptionType.ECS, dns.edns.OptionType.COOKIE}


def test_a_signature_is_no_proof_of_an_address():
    who = limited(keys={"key.test": TransferKey("key.test", "hmac-sha256", Secret("c2VjcmV0"))})
    query = dns.message.make_query("www.shop.test", "A")
    query.use_tsig(dns.tsig.Key("key.test", "c2VjcmV0", "hmac-sha256"))
    wire = query.to_wire()
    who._clock = FakeClock(query.time)
    assert None in [who.respond(wire, RESOLVER, 4000) for _ in range(9)]


def test_tcp_and_a_good_cookie_are_never_limited():
    who = limited()
    cookie = cookie_of(ask(who, packet(opt((10, b"12345678")))))
    for _ in range(9):
        assert ask(who, packet(opt((10, cookie)))).answer
        assert ask(who, packet(), stream=True).answer
    bad = [who.respond(packet(opt((10, cookie[:-1] + b"x"))), RESOLVER, 4000) for _ in range(9)]
    assert None in bad
