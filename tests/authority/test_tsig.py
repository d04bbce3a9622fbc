"""TSIG as dnspython, an independent implementation, writes and reads it."""

from __future__ import annotations

import base64
import struct

import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gslb.dns.query import read_query
from gslb.dns.tsig import (
    BADKEY,
    BADSIG,
    BADTIME,
    BADTRUNC,
    FORMERR,
    NOTAUTH,
    Keyring,
    TsigFailure,
    Verified,
    verify,
)
from gslb.fleet import Secret, TransferKey

NOW = 1_800_000_000.0
ALGORITHMS = ("hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512")
SECRET = base64.b64encode(b"a secret of both sides, long enough").decode()


def keyring(algorithm="hmac-sha256"):
    return Keyring({"xfr.shop.test": TransferKey("xfr.shop.test", algorithm, Secret(SECRET))})


def theirs(algorithm="hmac-sha256", name="xfr.shop.test", secret=SECRET):
    return dns.tsig.Key(name, secret, algorithm)


def signed_query(monkeypatch, key=None, at=NOW, **how):
    """A query as dnspython signs it at a time, and its wire form."""
    query = dns.message.make_query("shop.test", "AXFR")
    query.use_edns(payload=1232)
    query.use_tsig(key or theirs(), **how)
    monkeypatch.setattr("time.time", lambda: at)
    return query, query.to_wire()


def check(packet, keys=None, now=NOW):
    start = read_query(packet).tsig_start
    assert start is not None
    return verify(packet, start, keys or keyring(), now)


def answer_to(query, rcode=dns.rcode.NOERROR):
    response = dns.message.make_response(query)
    response.set_rcode(rcode)
    response.tsig = None
    return response.to_wire()


def read(wire, query, key=None):
    return dns.message.from_wire(wire, keyring=key or query.keyring, request_mac=query.mac)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signed_query_is_recognized_and_its_answer_is_signed(monkeypatch, algorithm):
    query, packet = signed_query(monkeypatch, theirs(algorithm))
    verified = check(packet, keyring(algorithm))
    assert isinstance(verified, Verified)
    assert verified.key_name == "xfr.shop.test"
    unsigned = answer_to(query)
    wire = verified.signer.sign(unsigned, NOW)
    assert len(wire) == len(unsigned) + verified.signer.length
    assert read(wire, query).had_tsig
    with pytest.raises(dns.tsig.BadSignature):
        read(wire[:3] + bytes((wire[3] ^ 1,)) + wire[4:], query)


def test_the_names_case_does_not_matter(monkeypatch):
    query, packet = signed_query(monkeypatch, theirs(name="XFR.Shop.TEST"))
    verified = check(packet)
    assert isinstance(verified, Verified)
    assert verified.key_name == "xfr.shop.test"
    assert read(verified.signer.sign(answer_to(query), NOW), query).had_tsig


def test_every_message_of_a_stream_is_signed_over_the_one_before(monkeypatch):
    """RFC 8945 5.3.1."""
    query, packet = signed_query(monkeypatch)
    verified = check(packet)
    assert isinstance(verified, Verified)
    stream = [verified.signer.sign(answer_to(query), NOW + number) for number in range(4)]
    context = None
    for wire in stream:
        message = dns.message.from_wire(
            wire, keyring=query.keyring, request_mac=query.mac, multi=True, tsig_ctx=context
        )
        assert message.had_tsig
        context = message.tsig_ctx
    with pytest.raises(dns.tsig.BadSignature):
        dns.message.from_wire(stream[2], keyring=query.keyring, request_mac=query.mac, multi=True)


def test_a_changed_message_id_does_not_matter(monkeypatch):
    """RFC 8945 5.1: a forwarder may change it; the record keeps the original one."""
    _, packet = signed_query(monkeypatch)
    assert isinstance(check(bytes((packet[0] ^ 0xFF,)) + packet[1:]), Verified)


@pytest.mark.parametrize(
    "key", [theirs(name="other.test"), theirs("hmac-sha512")], ids=["another name", "another algorithm"]
)
def test_an_unknown_key_is_told_without_a_signature(monkeypatch, key):
    query, packet = signed_query(monkeypatch, key)
    failure = check(packet)
    assert isinstance(failure, TsigFailure)
    assert (failure.rcode, failure.error) == (NOTAUTH, BADKEY)
    wire = failure.append_to(answer_to(query, dns.rcode.NOTAUTH))
    assert len(wire) == len(answer_to(query)) + failure.length
    with pytest.raises(dns.tsig.PeerBadKey):
        read(wire, query)
    told = dns.message.from_wire(wire, keyring=False).tsig[0]
    assert told.mac == b""
    assert told.original_id == query.id


def test_a_wrong_secret_is_told_without_a_signature(monkeypatch):
    wrong = base64.b64encode(b"somebody else's").decode()
    query, packet = signed_query(monkeypatch, theirs(secret=wrong))
    failure = check(packet)
    assert isinstance(failure, TsigFailure)
    assert (failure.rcode, failure.error) == (NOTAUTH, BADSIG)
    wire = failure.append_to(answer_to(query, dns.rcode.NOTAUTH))
    with pytest.raises(dns.tsig.PeerBadSignature):
        read(wire, query)
    assert dns.message.from_wire(wire, keyring=False).tsig[0].mac == b""


@pytest.mark.parametrize("away", [-301, 301])
def test_a_wrong_clock_is_told_with_a_signature_and_our_time(monkeypatch, away):
    """RFC 8945 5.2.3: signed, with the client's time and ours, so that it can tell which clock is wrong."""
    query, packet = signed_query(monkeypatch, at=NOW + away)
    failure = check(packet)
    assert isinstance(failure, TsigFailure)
    assert (failure.rcode, failure.error) == (NOTAUTH, BADTIME)
    wire = failure.append_to(answer_to(query, dns.rcode.NOTAUTH))
    record = dns.message.from_wire(wire, keyring=False).tsig[0]
    assert record.time_signed == NOW + away
    assert int.from_bytes(record.other) == NOW
    expected, _ = dns.tsig.sign(
        answer_to(query, dns.rcode.NOTAUTH), query.keyring, record, record.time_signed, query.mac
    )
    assert record.mac == expected.mac


@pytest.mark.parametrize("away", [-300, 300])
def test_clocks_may_differ_by_the_fudge(monkeypatch, away):
    _, packet = signed_query(monkeypatch, at=NOW + away)
    assert isinstance(check(packet), Verified)


def rebuilt(packet, *, mac_length=32, owner=None, rtype=250, class_=255, ttl=0, missing=0):
    """The same query with another TSIG record: its MAC cut (or filled up) to a length, its head changed."""
    start = read_query(packet).tsig_start
    record = dns.message.from_wire(packet, keyring=False).tsig[0]
    mac = record.mac[:mac_length].ljust(mac_length, b"\x00")
    owner = owner if owner is not None else dns.name.from_text("xfr.shop.test").to_wire()
    data = record.replace(mac=mac).to_wire()
    data = data[: len(data) - missing]
    return packet[:start] + owner + struct.pack("!HHIH", rtype, class_, ttl, len(data)) + data


def test_a_truncated_mac_is_refused_with_a_signature(monkeypatch):
    """RFC 8945 5.2.4."""
    query, packet = signed_query(monkeypatch)
    for length in (16, 31):
        failure = check(rebuilt(packet, mac_length=length))
        assert isinstance(failure, TsigFailure)
        assert (failure.rcode, failure.error) == (NOTAUTH, BADTRUNC)
        told = dns.message.from_wire(failure.append_to(answer_to(query)), keyring=False).tsig[0]
        assert len(told.mac) == 32


def test_a_truncated_mac_that_is_wrong_as_well_is_not_answered_with_a_signature(monkeypatch):
    _, packet = signed_query(monkeypatch, theirs(secret=base64.b64encode(b"x").decode()))
    failure = check(rebuilt(packet, mac_length=16))
    assert isinstance(failure, TsigFailure)
    assert failure.error == BADSIG


@pytest.mark.parametrize("length", [0, 9, 15, 33, 100])
def test_a_mac_of_an_impossible_length_is_a_malformed_query(monkeypatch, length):
    """RFC 8945 5.2.2.1."""
    _, packet = signed_query(monkeypatch)
    failure = check(rebuilt(packet, mac_length=length))
    assert failure == TsigFailure(FORMERR)
    assert failure.append_to(b"the message") == b"the message"


@pytest.mark.parametrize(
    "wrong",
    [
        {"rtype": 251},
        {"class_": 1},
        {"ttl": 1},
        {"missing": 1},
        {"owner": b""},
        {"owner": b"\x50name"},
        {"owner": b"\xc0\xff"},
        {"owner": (b"\x3f" + b"x" * 63) * 4 + b"\x00"},
    ],
    ids=str,
)
def test_a_record_that_is_no_tsig_is_a_malformed_query(monkeypatch, wrong):
    """RFC 8945 4.2, 5.2."""
    _, packet = signed_query(monkeypatch)
    start = read_query(packet).tsig_start
    assert isinstance(verify(rebuilt(packet), start, keyring(), NOW), Verified)
    assert verify(rebuilt(packet, **wrong), start, keyring(), NOW) == TsigFailure(FORMERR)


def test_nothing_of_a_key_is_shown(monkeypatch):
    _, packet = signed_query(monkeypatch)
    verified = check(packet)
    secret = base64.b64decode(SECRET)
    for thing in (keyring(), verified, verified.signer, check(packet, now=0)):
        shown = repr(thing)
        assert SECRET not in shown
        assert repr(secret)[2:-1] not in shown


def packet_once():
    query = dns.message.make_query("shop.test", "AXFR", id=4711)
    query.use_edns(payload=1232)
    query.use_tsig(theirs())
    return query.to_wire()


SIGNED = packet_once()
START = read_query(SIGNED).tsig_start
AT = dns.message.from_wire(SIGNED, keyring=False).tsig[0].time_signed


@given(st.integers(2, START - 1), st.integers(1, 255))
def test_a_message_that_was_changed_is_never_taken_for_signed(position, difference):
    changed = SIGNED[:position] + bytes((SIGNED[position] ^ difference,)) + SIGNED[position + 1 :]
    assert isinstance(verify(SIGNED, START, keyring(), AT), Verified)
    assert isinstance(verify(changed, START, keyring(), AT), TsigFailure)


@given(st.binary(max_size=300), st.integers(0, 310))
def test_hostile_bytes_are_refused_and_raise_nothing(packet, start):
    assert isinstance(verify(packet, start, keyring(), AT), TsigFailure)


@given(
    st.lists(st.tuples(st.integers(START, len(SIGNED) - 1), st.integers(0, 255)), max_size=4),
    st.integers(0, 80),
)
def test_a_broken_record_is_refused_and_raises_nothing(changes, cut):
    broken = bytearray(SIGNED)
    for position, value in changes:
        broken[position] = value
    packet = bytes(broken[: len(broken) - cut])
    result = verify(packet, START, keyring(), AT)
    if isinstance(result, Verified):
        assert packet.lower() == SIGNED.lower()
    elif result.error:
        answer = result.append_to(SIGNED[:2] + b"\x80" + bytes(9))
        assert len(answer) == 12 + result.length
        assert dns.message.from_wire(answer, keyring=False).tsig[0].error == result.error
