"""Real queries of every kind, made by dnspython: what mutations begin with."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from fuzz.checker import OUR_PAYLOAD, signed

NAMES = (
    "www.shop.test",
    "wWw.sHoP.tEsT",
    "split.shop.test",
    "alias.shop.test",
    "shop.test",
    "child.shop.test",
    "host.sub.shop.test",
    "www.old.shop.test",
    "big.shop.test",
    "many.shop.test",
    "size200.shop.test",
    "x.y.any.shop.test",
    "nothing.shop.test",
    "loop.shop.test",
    f"{'l' * 63}.{'m' * 63}.shop.test",
    f"{'n' * 63}.{'o' * 63}.{'p' * 63}.any.shop.test",
    "elsewhere.test",
    ".",
)
TYPES = ("A", "AAAA", "NS", "SOA", "CNAME", "DNAME", "DS", "MX", "TXT", "ANY", "AXFR", "IXFR", "TYPE65400")
CHAOS_NAMES = ("version.bind", "hostname.bind", "id.server")

OPTIONS = (
    dns.edns.ECSOption("10.2.7.0", 24),
    dns.edns.ECSOption("2001:db8:1::", 48),
    dns.edns.ECSOption("2002:a01:200::", 40),
    dns.edns.ECSOption("0.0.0.0", 0),
    dns.edns.GenericOption(dns.edns.OptionType.ECS, bytes(4)),
    dns.edns.CookieOption(b"\x00\x01\x02\x03\x04\x05\x06\x07", b""),
    dns.edns.CookieOption(b"\x00\x01\x02\x03\x04\x05\x06\x07", b"\x01" + bytes(15)),
    dns.edns.GenericOption(dns.edns.OptionType.NSID, b""),
    dns.edns.GenericOption(dns.edns.OptionType.KEEPALIVE, b""),
    dns.edns.GenericOption(dns.edns.OptionType.PADDING, bytes(32)),
    dns.edns.GenericOption(65001, b"unknown"),
)


def queries() -> Iterator[bytes]:
    """Some hundred packets, most of them right."""
    for name in NAMES:
        for rtype in TYPES:
            yield query(name, rtype)
        yield query(name, "A", options=OPTIONS[:1], payload=4096)
        yield query(name, "TXT", options=(), payload=512, want_dnssec=True)
    for name in CHAOS_NAMES:
        yield query(name, "TXT", rdclass=dns.rdataclass.CH)
    for option in OPTIONS:
        yield query("www.shop.test", "A", options=(option,), payload=1400)
    yield query("www.shop.test", "TXT", options=OPTIONS, payload=65535)
    for opcode in range(16):
        packet = query("shop.test", "SOA", options=OPTIONS[:1], payload=1232)
        yield packet[:2] + struct.pack("!H", opcode << 11) + packet[4:]
    yield notify()
    yield incremental()
    yield only_a_cookie()
    for name, rtype in (("www.shop.test", "A"), ("shop.test", "AXFR"), ("size200.shop.test", "TXT")):
        yield signed(query(name, rtype))
        yield signed(query(name, rtype, options=OPTIONS[:2], payload=1232))
        yield signed(query(name, rtype), now=0)


def query(
    name: str,
    rtype: str,
    *,
    options: tuple[dns.edns.Option, ...] | None = None,
    payload: int = OUR_PAYLOAD,
    want_dnssec: bool = False,
    rdclass: dns.rdataclass.RdataClass = dns.rdataclass.IN,
) -> bytes:
    message = dns.message.make_query(name, rtype, rdclass, want_dnssec=want_dnssec, id=7)
    if options is not None:
        flags = dns.flags.DO if want_dnssec else 0
        message.use_edns(0, flags, payload, options=list(options))
    return message.to_wire(max_size=65535)


def notify() -> bytes:
    """RFC 1996 3.7, with the new SOA."""
    message = dns.message.make_query("shop.test", "SOA", id=8)
    message.set_opcode(dns.opcode.NOTIFY)
    message.answer.append(soa())
    return message.to_wire()


def incremental() -> bytes:
    """An IXFR with the SOA of the copy at hand (RFC 1995 3)."""
    message = dns.message.make_query("shop.test", "IXFR", id=9)
    message.authority.append(soa())
    return message.to_wire()


def soa() -> dns.rrset.RRset:
    return dns.rrset.from_text(
        "shop.test.", 0, "IN", "SOA", "ns1.shop.test. hostmaster.shop.test. 3 7200 900 1209600 300"
    )


def only_a_cookie() -> bytes:
    """No question at all (RFC 7873 5.4)."""
    message = dns.message.Message(id=10)
    message.use_edns(0, 0, OUR_PAYLOAD, options=[OPTIONS[5]])
    return message.to_wire()
