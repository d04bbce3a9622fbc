"""Zone transfers, taken by dnspython from real sockets, and the messages that they are made of."""

from __future__ import annotations

import asyncio
import base64
import struct
from dataclasses import replace
from ipaddress import ip_address, ip_network

import dns.asyncquery
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.versioned
import dns.xfr
import dns.zone
import pytest
import structlog.testing
from fleets import NOW, ZONE, authority, drained, fleet, state, world

from gslb.clock import FakeClock, SystemClock
from gslb.dns import transfer
from gslb.dns.query import read_query
from gslb.dns.responder import Responder
from gslb.dns.tcp import TcpListener
from gslb.dns.transfer import MESSAGE_BYTES, may_transfer, transfer_messages
from gslb.dns.zone import load_zone
from gslb.fleet import (
    AllDown,
    RateLimitSettings,
    Secret,
    SocketAddress,
    TransferKey,
    TransferRule,
    ZoneSource,
)
from gslb.policy.failover import Failover
from gslb.world import Verdict

LOOPBACK = TransferRule(ip_network("127.0.0.0/8"))
SECRET = base64.b64encode(b"a secret of both sides").decode()
KEY = TransferKey("xfr.shop.test", "hmac-sha256", Secret(SECRET))
KEYRING = {dns.name.from_text("xfr.shop.test"): dns.tsig.Key("xfr.shop.test", SECRET, "hmac-sha256")}


def secondary_fleet(rules=(LOOPBACK,), zone=ZONE, **more):
    made = fleet([Failover(("us-east",))], zone=zone, keys={"xfr.shop.test": KEY}, **more)
    source = replace(made.zones["shop.test"], transfers=tuple(rules))
    return replace(made, zones={"shop.test": source})


@pytest.fixture
async def serve():
    listeners = []

    async def begin(made, known=None):
        listener = TcpListener(
            SocketAddress("127.0.0.1", 0), Responder(authority(made, known), SystemClock())
        )
        listeners.append(listener)
        await listener.start()
        return listener.port

    yield begin
    for listener in listeners:
        await listener.stop()


async def take(port, zone=None, **signature):
    """The zone as dnspython, being a secondary, takes it; by IXFR if it has a copy already."""
    zone = zone if zone is not None else dns.versioned.Zone("shop.test.", relativize=True)
    query, _ = dns.xfr.make_query(zone, **signature)
    await dns.asyncquery.inbound_xfr("127.0.0.1", zone, query, port=port, timeout=10, lifetime=20)
    return zone


async def messages_of(port, query):
    """Everything that answers a query over TCP, up to the second SOA (or the first if nothing follows)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    wire = query.to_wire()
    writer.write(struct.pack("!H", len(wire)) + wire)
    writer.write_eof()
    messages = []
    while head := await reader.read(2):
        messages.append(await reader.readexactly(int.from_bytes(head)))
    writer.close()
    return messages


def addresses(zone, name, rtype="A"):
    return sorted(str(each) for each in zone.get_rdataset(name, rtype) or ())


async def test_a_secondary_gets_the_zone_as_it_stands_in_its_file(serve):
    """Delegations with their glue, wildcards, aliases and DNAMEs included (RFC 5936 3)."""
    zone = await take(await serve(secondary_fleet()))
    static = dns.zone.from_text(ZONE, "shop.test.", check_origin=False)
    for name, node in static.items():
        for rdataset in node:
            assert zone.get_rdataset(name, rdataset.rdtype) == rdataset
    assert {str(name) for name in zone} == {str(name) for name in static} | {"www"}


async def test_services_are_carried_as_the_secondary_itself_would_be_answered(serve):
    made = secondary_fleet()
    zone = await take(await serve(made))
    assert addresses(zone, "www") == ["192.0.2.1"]
    assert addresses(zone, "www", "AAAA") == ["2001:db8::1"]
    assert zone.get_rdataset("www", "A").ttl == made.services["www.shop.test"].ttl.wanted
    zone = await take(await serve(made, world(drained("us-east"))))
    assert addresses(zone, "www") == ["192.0.2.2"]


async def test_a_service_may_have_the_zones_own_name_or_a_wildcards(serve):
    made = secondary_fleet(services=("shop.test", "*.apps.shop.test"))
    zone = await take(await serve(made))
    assert addresses(zone, "@") == ["192.0.2.1"]
    assert addresses(zone, "*.apps") == ["192.0.2.1"]


async def test_a_signed_transfer_is_signed_throughout(serve):
    """RFC 8945 5.3.1 would let most messages of a stream go unsigned; not every client likes that."""
    port = await serve(secondary_fleet([TransferRule(key="xfr.shop.test")], zone=ZONE + many(500)))
    zone = await take(port, keyring=KEYRING)
    assert len(zone.nodes) > 500
    query = dns.message.make_query("shop.test", "AXFR")
    query.use_tsig(KEYRING)
    messages = await messages_of(port, query)
    assert len(messages) > 5
    context = None
    for wire in messages:
        message = dns.message.from_wire(
            wire, keyring=query.keyring, request_mac=query.mac, xfr=True, multi=True, tsig_ctx=context
        )
        assert message.had_tsig
        context = message.tsig_ctx


@pytest.mark.parametrize(
    ("rules", "key", "allowed"),
    [
        ([], None, False),
        ([LOOPBACK], None, True),
        ([LOOPBACK], "xfr.shop.test", True),
        ([TransferRule(ip_network("192.0.2.0/24"))], None, False),
        ([TransferRule(key="xfr.shop.test")], None, False),
        ([TransferRule(ip_network("192.0.2.0/24"), "xfr.shop.test")], "xfr.shop.test", False),
        ([TransferRule(ip_network("127.0.0.0/8"), "xfr.shop.test")], "xfr.shop.test", True),
        (
            [TransferRule(ip_network("192.0.2.0/24")), TransferRule(key="xfr.shop.test")],
            "xfr.shop.test",
            True,
        ),
    ],
)
async def test_a_zone_is_given_to_whom_a_rule_allows_it(serve, rules, key, allowed):
    port = await serve(secondary_fleet(rules))
    signature = {"keyring": KEYRING} if key else {}
    if allowed:
        assert (await take(port, **signature)).get_rdataset("@", "SOA")
    else:
        with pytest.raises(dns.xfr.TransferError) as refused:
            await take(port, **signature)
        assert refused.value.rcode == dns.rcode.REFUSED


def test_a_rule_without_a_key_is_about_networks_of_its_own_family():
    rules = (TransferRule(ip_network("2001:db8::/32")), TransferRule(ip_network("192.0.2.0/24"), "other"))
    assert may_transfer(rules, ip_address("2001:db8::1"), None)
    assert not may_transfer(rules, ip_address("192.0.2.1"), "xfr.shop.test")
    assert may_transfer(rules, ip_address("192.0.2.1"), "other")
    assert may_transfer(rules, ip_address("::ffff:192.0.2.1"), "other")
    assert not may_transfer((), ip_address("192.0.2.1"), "other")


async def test_a_secondary_that_has_the_serial_gets_nothing_more(serve):
    port = await serve(secondary_fleet())
    zone = await take(port)
    before = zone.get_rdataset("txt", "TXT")
    await take(port, zone)
    assert zone.get_rdataset("txt", "TXT") == before
    query, _ = dns.xfr.make_query(zone)
    assert query.question[0].rdtype == dns.rdatatype.IXFR
    (wire,) = await messages_of(port, query)
    assert [rrset.rdtype for rrset in dns.message.from_wire(wire).answer] == [dns.rdatatype.SOA]


async def test_a_secondary_with_an_older_serial_gets_the_whole_zone(serve):
    """RFC 1995 4: no history is kept, and the whole zone is an answer to IXFR too."""
    zone = await take(await serve(secondary_fleet()))
    newer = ZONE.replace("hostmaster 7 ", "hostmaster 8 ") + 'added TXT "new"\n'
    await take(await serve(secondary_fleet(zone=newer)), zone)
    assert zone.get_rdataset("@", "SOA")[0].serial == 8
    assert zone.get_rdataset("added", "TXT")


# The messages themselves.

PURE = """$TTL 300
@ SOA ns1 hostmaster {serial} 2 3 4 60
@ NS ns1
ns1 A 192.0.2.53
"""


def many(count):
    return "".join(f"host{number} TXT {'x' * 200}\n" for number in range(count))


def messages(more="", rtype="AXFR", *, ours=7, theirs=None, flags=0):
    """What answers a query for a small zone with serial `ours` and `more` records."""
    source = ZoneSource("shop.test", PURE.format(serial=ours) + more, "test.zone")
    query = dns.message.make_query("sHoP.test", rtype, flags=flags, id=4711)
    if theirs is not None:
        query.authority.append(dns.rrset.from_text("shop.test.", 0, "IN", "SOA", f". . {theirs} 0 0 0 0"))
    zone = load_zone(source, ())
    return list(transfer_messages(read_query(query.to_wire()), zone, lambda service: None))


def records(wires):
    return [
        (rrset.name, rrset.rdtype, rrset[0])
        for wire in wires
        for rrset in dns.message.from_wire(wire, one_rr_per_rrset=True).answer
    ]


def test_a_transfer_begins_and_ends_with_the_soa_and_says_everything_else_once():
    found = records(messages(many(300)))
    assert found[0] == found[-1]
    assert [rtype for _, rtype, _ in found].count(dns.rdatatype.SOA) == 2
    assert len(found) == len(set(found)) + 1 == 1 + 1 + 1 + 300 + 1


def test_only_the_first_message_repeats_the_question_and_all_have_the_querys_id():
    """RFC 5936 2.2.1, 2.2.2; the question keeps the case in which it came."""
    for flags in (0, dns.flags.RD):
        read = [dns.message.from_wire(wire) for wire in messages(many(300), flags=flags)]
        assert len(read) > 3
        assert [len(message.question) for message in read] == [1] + [0] * (len(read) - 1)
        assert str(read[0].question[0].name) == "sHoP.test."
        assert {message.id for message in read} == {4711}
        assert {int(message.flags) for message in read} == {dns.flags.QR | dns.flags.AA | flags}


def test_messages_are_filled_and_no_longer_than_a_pointer_reaches():
    sizes = [len(wire) for wire in messages(many(1000))]
    assert max(sizes) <= MESSAGE_BYTES
    assert min(sizes[:-1]) > MESSAGE_BYTES - 300


def test_one_rrset_may_fill_several_messages():
    addresses = "".join(f"big MX {number} a-rather-long-name-{number}.mail\n" for number in range(1500))
    wires = messages(addresses)
    assert len(wires) > 2
    exchanges = [data for _, rtype, data in records(wires) if rtype == dns.rdatatype.MX]
    assert len(exchanges) == len(set(exchanges)) == 1500
    assert {str(data.exchange) for data in exchanges} == {
        f"a-rather-long-name-{number}.mail.shop.test." for number in range(1500)
    }


def test_a_record_that_is_longer_than_a_message_should_be_has_one_for_itself():
    long = "long TXT " + " ".join('"' + "x" * 250 + '"' for _ in range(200)) + "\n"
    wires = messages(long)
    assert max(len(wire) for wire in wires) > 50000
    assert len(records(wires)) == 5


def test_a_record_that_fits_no_message_ends_the_transfer_with_an_error(monkeypatch):
    """RFC 5936 2.2: rather than a secondary without it. No zone that loads has one that fits none at all."""
    monkeypatch.setattr(transfer, "_LONGEST_MESSAGE", 30_000)
    long = "long TXT " + " ".join('"' + "x" * 250 + '"' for _ in range(200)) + "\n"
    wires = messages(long)
    assert dns.message.from_wire(wires[-1]).rcode() == dns.rcode.SERVFAIL
    assert sum(rtype == dns.rdatatype.SOA for _, rtype, _ in records(wires)) == 1


def test_what_lies_below_a_cut_is_carried_too():
    """RFC 5936 3.5: occluded names must be."""
    below = "sub NS ns.sub\nns.sub A 192.0.2.9\nhidden.sub TXT secret\n"
    names = {str(name) for name, _, _ in records(messages(below))}
    assert {"sub.shop.test.", "ns.sub.shop.test.", "hidden.sub.shop.test."} <= names


@pytest.mark.parametrize(
    ("ours", "theirs", "whole"),
    [
        (7, 7, False),
        (7, 8, False),
        (7, 6, True),
        (2**32 - 1, 3, False),
        (3, 2**32 - 1, True),
        (0, 2**31 - 1, False),
        (0, 2**31, True),
        (7, None, True),
    ],
)
def test_serials_are_compared_as_they_wrap(ours, theirs, whole):
    """RFC 1982; what cannot be compared gets the whole zone."""
    found = records(messages("", "IXFR", ours=ours, theirs=theirs))
    assert len(found) == (4 if whole else 1)


def test_ixfr_over_udp_is_answered_with_the_soa_so_that_the_client_comes_back_over_tcp():
    """RFC 1995 2; it is an answer like any other, and keeps to all limits."""
    limit = RateLimitSettings(responses_per_second=3, slip=0)
    who = Responder(authority(secondary_fleet(rate_limit=limit)), FakeClock(NOW))
    query = dns.message.make_query("shop.test", "IXFR")
    query.authority.append(dns.rrset.from_text("shop.test.", 0, "IN", "SOA", ". . 1 0 0 0 0"))
    answers = [who.respond(query.to_wire(), "127.0.0.1", 4000) for _ in range(9)]
    assert answers[3:] == [None] * 6
    for wire in answers[:3]:
        ((soa,),) = dns.message.from_wire(wire).answer
        assert soa.serial == 7


async def test_a_service_that_cannot_be_answered_now_breaks_the_transfer_off(serve):
    """Without it the secondary would deny that it exists, for as long as the serial stays."""
    down = [state(name, Verdict.DOWN) for name in ("us-east", "eu-west", "ap-southeast")]
    port = await serve(secondary_fleet(all_down=AllDown.SERVFAIL), world(*down))
    query = dns.message.make_query("shop.test", "AXFR")
    answer = await dns.asyncquery.tcp(query, "127.0.0.1", 5, port)
    assert answer.rcode() == dns.rcode.SERVFAIL


def test_a_flood_of_refusals_is_a_line_a_second_and_hides_no_transfer():
    who = Responder(authority(secondary_fleet()), FakeClock(NOW))
    wire = dns.message.make_query("shop.test", "AXFR").to_wire()
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            list(who.respond_stream(wire, "192.0.2.1", 4000))
        list(who.respond_stream(wire, "127.0.0.1", 4000))
    assert [line["event"] for line in lines] == ["transfer refused", "transfer"]
    assert dict(who.transfers) == {"refused": 5, "served": 1}


def test_a_long_transfer_is_signed_with_the_time_at_which_its_messages_are_made():
    clock = FakeClock(NOW)
    who = Responder(authority(secondary_fleet(zone=ZONE + many(2000))), clock)
    query = dns.message.make_query("shop.test", "AXFR")
    query.use_tsig(dns.tsig.Key("xfr.shop.test", SECRET, "hmac-sha256"))
    wire = signed_at(query, int(NOW))
    times = []
    for message in who.respond_stream(wire, "127.0.0.1", 4000):
        signature = dns.message.from_wire(message, ignore_trailing=True, keyring=False).tsig
        times.append(signature[0].time_signed - int(NOW))
        clock.advance(400)
    assert times == [400 * number for number in range(len(times))]
    assert len(times) > 3


def signed_at(query: dns.message.Message, now: int) -> bytes:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("time.time", lambda: now)
        return query.to_wire()
