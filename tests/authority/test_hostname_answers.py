"""Regions that are somebody else's hostname: the CNAME that packets tell, and what never depends on it."""

from __future__ import annotations

from dataclasses import replace

import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from fleets import NOW, PLACES, TCP_CHECK, authority, fleet, region, state, world

from gslb.clock import FakeClock
from gslb.dns.responder import Responder
from gslb.fleet import Region
from gslb.world import Verdict

CDN = Region("us-east", PLACES["us-east"], (), TCP_CHECK, {}, hostname="www.cdn.example")
OTHER = replace(CDN, name="eu-west", coordinates=PLACES["eu-west"], hostname="edge.other.example")
OWN = region("eu-west", PLACES["eu-west"], ("192.0.2.2", "2001:db8::2"))
BRITON, NEW_YORKER = "10.1.0.1", "10.3.0.1"


def responder(*regions, states=()):
    made = fleet(regions={each.name: each for each in regions})
    return Responder(authority(made, world(*states, names=tuple(made.regions))), FakeClock(NOW))


def ask(who, rtype, source, name="www.shop.test"):
    wire = who.respond(dns.message.make_query(name, rtype).to_wire(), source, 4000)
    return dns.message.from_wire(wire)


def told(answer):
    return [(rrset.rdtype.name, rrset[0].to_text()) for rrset in answer.answer]


@pytest.mark.parametrize("rtype", ["A", "AAAA"])
def test_the_client_of_a_hostname_is_told_its_alias_and_others_their_addresses(rtype):
    who = responder(CDN, OWN)
    assert told(ask(who, rtype, NEW_YORKER)) == [("CNAME", "www.cdn.example.")]
    assert told(ask(who, rtype, BRITON)) == [(rtype, "192.0.2.2" if rtype == "A" else "2001:db8::2")]
    lost = responder(CDN, OWN, states=[state("us-east", Verdict.DOWN)])
    assert told(ask(lost, rtype, NEW_YORKER)) == told(ask(who, rtype, BRITON))


@pytest.mark.parametrize("rtype", ["CNAME", "HTTPS", "MX", "TXT"])
def test_beside_addresses_other_types_have_no_data_for_anybody(rtype):
    who = responder(CDN, OWN)
    for source in (BRITON, NEW_YORKER):
        answer = ask(who, rtype, source)
        assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])
        assert answer.authority[0].rdtype == dns.rdatatype.SOA


@pytest.mark.parametrize("rtype", ["A", "AAAA", "CNAME", "HTTPS", "MX", "ANY"])
def test_a_service_of_hostnames_alone_is_an_alias_whatever_is_asked_for(rtype):
    who = responder(CDN, OTHER)
    assert told(ask(who, rtype, NEW_YORKER)) == [("CNAME", "www.cdn.example.")]
    assert told(ask(who, rtype, BRITON)) == [("CNAME", "edge.other.example.")]


def test_an_alias_of_ours_leads_on_to_the_hostname():
    answer = told(ask(responder(CDN, OTHER), "A", BRITON, "alias.shop.test"))
    assert answer == [("CNAME", "www.shop.test."), ("CNAME", "edge.other.example.")]


def test_a_hostname_in_a_zone_of_ours_is_not_followed():
    """Of two services in one answer, each with its own scope, a resolver could keep neither."""
    who = responder(replace(CDN, hostname="txt.shop.test"), OTHER)
    assert told(ask(who, "TXT", NEW_YORKER)) == [("CNAME", "txt.shop.test.")]
