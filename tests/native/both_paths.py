"""Every path that an answer can take, side by side: made by the responder, repeated by the compiled loop,
or repeated by plain Python where it is quick; of one authority, by one clock."""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network

from fleets import NOW

from gslb.clock import FakeClock
from gslb.dns.authority import Authority
from gslb.dns.compiled_path import CompiledPath
from gslb.dns.cookie import is_well_formed
from gslb.dns.edns import read_client_subnet
from gslb.dns.name import from_text
from gslb.dns.query import Query, is_query, read_query
from gslb.dns.responder import UNANSWERED_PORTS, Responder
from gslb.errors import WireError
from gslb.geo.location import IPAddress

A, SOA, TXT, AAAA, ANY = 1, 6, 16, 28, 255
META = frozenset({41, *range(128, 255)})
PORT = 40_000
SOURCE = "10.1.2.3"
NODE = "ns1"
MAY_CARRY_IPV4 = tuple(map(ip_network, ("::/48", "64:ff9b::/48", "2002::/16", "2001::/32")))


class Both:
    """Responders that live through the same: with the compiled loop, with quick Python, and with neither."""

    def __init__(self, known: Authority) -> None:
        self.clock = FakeClock(NOW)
        self.path = CompiledPath()
        self.taught = Responder(known, self.clock, NODE, self.path)
        self.quick = Responder(known, self.clock, NODE)
        self.plain = Responder(known, self.clock, NODE)

    @property
    def authority(self) -> Authority:
        return self.plain.authority

    def use(self, known: Authority) -> None:
        for each in (self.taught, self.quick, self.plain):
            each.use(known)

    def refresh(self) -> None:
        for each in (self.taught, self.quick):
            each.refresh()

    def outcome(self, packet: bytes, source: str = SOURCE, port: int = PORT) -> bytes | str | None:
        """What the compiled loop does: an answer, None for silence, `miss`."""
        # What `Loop.serve` asks for a packet from the network.
        outcome = self.path._exchange.outcome(packet, source, port, self.clock.now())
        return None if outcome == "silence" else outcome

    def answer(self, packet: bytes, source: str = SOURCE, port: int = PORT) -> bytes | None:
        """What a client is sent; a miss is answered by Python, which teaches."""
        outcome = self.outcome(packet, source, port)
        if outcome == "miss":
            return self.taught.respond(packet, source, port, missed=True)
        return outcome

    def quickly(self, packet: bytes, source: str = SOURCE, port: int = PORT) -> bytes | None:
        """What a client is sent where there is no compiled loop."""
        address = ip_address(source.partition("%")[0]).packed
        answer = self.quick.quick.answer(packet, address, port, self.clock.now())
        if answer is None:
            return self.quick.respond(packet, source, port)
        return answer or None

    def check(self, packet: bytes, source: str = SOURCE, port: int = PORT) -> str:
        """That all agree, asked twice; why the second time was a miss too, empty if it was none."""
        expected = self.plain.respond(packet, source, port)
        assert self.answer(packet, source, port) == expected
        for _ in range(2):
            assert self.quickly(packet, source, port) == expected
        again = self.outcome(packet, source, port)
        if again != "miss":
            assert again == expected
            return ""
        reason = self.reason(packet, source, port)
        assert reason, f"{packet.hex()} from {source} is not to be left to Python when it is known"
        return reason

    # All that a question that is known may be left to Python for.

    def reason(self, packet: bytes, source: str, port: int) -> str:
        if port in UNANSWERED_PORTS or not is_query(packet):
            return "it gets no answer"
        try:
            query = read_query(packet)
        except WireError:
            return "it is malformed"
        if query.opcode or not query.question or query.class_ != 1 or query.serial is not None:
            return "it is no question of the class IN"
        if query.tsig_start is not None:
            return "it is signed"
        if query.type in META:
            return "its type is none of data"
        if packet[11] != (query.edns is not None):
            return "there are other records than OPT"
        if self.authority.zones.for_question(query.name, query.type) is None:
            return "it is refused"
        return self._about_options(query, source) or self._about_client(query, source)

    def _about_options(self, query: Query, source: str) -> str:
        if query.edns is None:
            return ""
        if query.edns.version:
            return "its EDNS is of another version"
        if query.edns.nsid:
            return "it wants to know who answers"
        cookies = self.plain.rules.cookies
        if cookies is not None and query.edns.cookie is not None and not is_well_formed(query.edns.cookie):
            return "its cookie is malformed"
        if not self._counts_subnet(source) or query.edns.client_subnet is None:
            return ""
        try:
            return "" if read_client_subnet(query.edns.client_subnet) else "its client subnet says nothing"
        except WireError:
            return "its client subnet is malformed"

    def _counts_subnet(self, source: str) -> bool:
        trust = self.plain.rules.trust
        return trust.everybody or (not trust.nobody and trust.includes(ip_address(source.partition("%")[0])))

    def _about_client(self, query: Query, source: str) -> str:
        client = self.client_of(query, source)
        now = self.clock.now()
        reply = self.authority.reply(query.name, query.type, 1, self.authority.client(client), now)
        if reply.decided_at is None:
            return ""
        if reply.consulted.location and self.vantage(client) == 0:
            return "its client is on no span of the map"
        if reply.consulted.share and any(client in each for each in MAY_CARRY_IPV4):
            return "its client may carry an IPv4 address"
        if reply.decision.shrinks_at is not None and reply.decision.shrinks_at <= now:
            return "its TTL is another one in a moment"
        return ""

    def client_of(self, query: Query, source: str) -> IPAddress:
        if query.edns is not None and query.edns.client_subnet and self._counts_subnet(source):
            subnet = read_client_subnet(query.edns.client_subnet)
            if subnet is not None and subnet.source_prefix_length:
                return subnet.address
        return ip_address(source.partition("%")[0])

    def vantage(self, client: IPAddress) -> int:
        found = self.authority.locator.network_map
        number = int(client)
        return (found.key4(number) if client.version == 4 else found.key6(number >> 64)) >> 8


def asked(name: str, rtype: int = A, client: IPAddress | None = None, length: int | None = None) -> bytes:
    """A query with EDNS and a cookie, for a client network if there is one."""
    options = option(10, b"8 bytes!")
    if client is not None:
        length = client.max_prefixlen if length is None else length
        network = ip_network((client, length), strict=False).network_address.packed[: (length + 7) // 8]
        family = 1 if client.version == 4 else 2
        options += option(8, struct.pack("!HBB", family, length, 0) + network)
    return query(name, rtype, options)


def query(name: str, rtype: int, options: bytes) -> bytes:
    question = from_text(name) + struct.pack("!HH", rtype, 1)
    opt = struct.pack("!BHHIH", 0, 41, 1232, 0, len(options)) + options
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 1) + question + opt


def option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data
