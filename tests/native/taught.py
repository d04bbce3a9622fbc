"""One authority answered twice: by the Python responder, and by an exchange that was taught its answers."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import cache
from ipaddress import ip_address

import pytest
from fleets import NOW, authority, fleet

from gslb.clock import FakeClock
from gslb.dns.authority import Authority
from gslb.dns.packing import Packed, pack
from gslb.dns.responder import Responder
from gslb.fleet import ClientSubnetSettings, CookieSettings, Fleet, GeoSettings, Secret
from gslb.geo.locator import Locator
from gslb.policy.share import share_of

answering = pytest.importorskip("gslb.dns.compiled.answering", reason="the compiled modules are not built")

IN, A, AAAA, TXT, NS, SOA, MX, ANY = 1, 1, 28, 16, 2, 6, 15, 255
HEAD, ORDER = 0, 1
NO_SHARE = 4096
SOURCE, PORT = "192.0.2.77", 40_000
SECRETS = (bytes(range(16)), bytes(range(16, 32)))
COOKIES = CookieSettings(secrets=tuple(Secret(secret.hex()) for secret in SECRETS))


def wire(name: str) -> bytes:
    """A name without escapes in wire form, its case kept."""
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data


def subnet(address: str, prefix_length: int, *, scope: int = 0) -> bytes:
    """A client-subnet option, bits beyond the prefix cleared."""
    parsed = ip_address(address)
    bits = parsed.max_prefixlen
    number = int(parsed) >> (bits - prefix_length) << (bits - prefix_length)
    octets = number.to_bytes(bits // 8)[: (prefix_length + 7) // 8]
    return option(8, struct.pack("!HBB", 1 if parsed.version == 4 else 2, prefix_length, scope) + octets)


def opt(*options: bytes, payload: int = 1232, do: bool = False, version: int = 0) -> bytes:
    data = b"".join(options)
    return b"\0" + struct.pack("!HHBBHH", 41, payload, 0, version, 0x8000 if do else 0, len(data)) + data


def query(
    name: str | bytes, rtype: int = A, edns: bytes = b"", *, flags: int = 0, identifier: int = 4711
) -> bytes:
    """A packet with one question, and the OPT record of `opt` if there is one."""
    question = (wire(name) if isinstance(name, str) else name) + struct.pack("!HH", rtype, IN)
    return struct.pack("!6H", identifier, flags, 1, 0, 0, bool(edns)) + question + edns


@cache
def locator() -> Locator:
    """The bundled database with its network map."""
    made = Locator(GeoSettings())
    assert made.map_networks()
    return made


def settings_of(fleet: Fleet, limiter: object = None) -> object:
    dns = fleet.dns
    secrets = (
        [bytes.fromhex(secret.reveal()) for secret in dns.cookies.secrets] if dns.cookies.enabled else None
    )
    return answering.Settings(
        dns.udp_payload, dns.client_subnet.trusted or None, secrets, limiter, dns.client_subnet.enabled
    )


class Twice:
    """`ask` gets the answer of both; `teach` tells the exchange one question's for one client's place.

    Every question is a group of its own, and every vantage has a rank of its own.
    """

    def __init__(self, authority: Authority, *, level: int = HEAD) -> None:
        self.clock = FakeClock(NOW)
        self.authority = authority
        self.responder = Responder(authority, self.clock)
        self.exchange = answering.Exchange(2)
        self.regions = list(authority.fleet.regions)
        self.book = answering.Book(self.exchange, locator().network_map, 2 * len(self.regions))
        self.exchange.use(self.book, settings_of(authority.fleet))
        self._level = level
        self._groups: dict[bytes, int] = {}

    def teach(self, name: str, rtype: int = A, client: str = SOURCE) -> int:
        """The key of the outcome; 0 for an answer to everybody."""
        made = self.authority.client(ip_address(client))
        lowered = wire(name.lower())
        reply = self.authority.reply(lowered, rtype, IN, made, NOW)
        packed = pack(reply, lowered, rtype, IN)
        question = lowered + rtype.to_bytes(2)
        if reply.decision is None:
            self.book.learn_answer(question, packed)
            return 0
        group = self._groups.setdefault(question, len(self._groups) + 1)
        flags = (answering.SHARED if reply.consulted.share else 0) | (
            answering.ORDERED if self._level == ORDER else 0
        )
        rank, level = 0, HEAD
        if reply.consulted.location:
            flags, level = flags | answering.LOCATED, self._level
            rank = self.book.vantage(made.address)
            if rank:
                self.book.learn_rank(1, level, rank, rank)
        self.book.learn_question(question, group, 1, flags, 0)
        share = share_of(made.address) if reply.consulted.share else NO_SHARE
        key = group << 38 | level << 37 | rank << 13 | share
        self.book.learn_outcome(key, packed, self._served(packed))
        return key

    def _served(self, packed: Packed) -> int:
        return -1 if packed.served is None else self.regions.index(packed.served[1])

    def ask(self, packet: bytes, source: str = SOURCE, port: int = PORT) -> tuple[bytes | None, object]:
        """What Python answers, and what the exchange does."""
        expected = self.responder.respond(packet, source, port)
        return expected, self.exchange.outcome(packet, source, port, self.clock.now())


def twice(*arguments: object, level: int = HEAD, **more: object) -> Twice:
    """Of a fleet as `fleets.fleet` makes it, with the bundled database, cookies and everybody's subnets."""
    more = {"client_subnet": ClientSubnetSettings(), "cookies": COOKIES, **more}
    made = fleet(*arguments, **more)
    return Twice(authority(made, locator=locator()), level=level)


def assert_same(answers: Iterable[object]) -> None:
    """That it was answered, and in the same bytes."""
    expected, outcome = answers
    assert isinstance(expected, bytes)
    assert outcome == expected
