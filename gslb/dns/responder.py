"""From packet to packet: finds what was answered before, or asks the pure function, and patches the copy."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address

import structlog

from gslb.clock import Clock
from gslb.dns.authority import Authority
from gslb.dns.edns import Edns, write_opt
from gslb.dns.query import HEADER_LENGTH, QR, RD, TC, Query, is_query, read_query
from gslb.dns.reply import SERVFAIL, Reply, pack
from gslb.errors import WireError
from gslb.geo.location import IPAddress, Located
from gslb.policy.base import NOTHING, Consults
from gslb.policy.decision import scope_of
from gslb.policy.share import share_of

log = structlog.get_logger(__name__)

CACHE_ENTRIES = 200_000
"""The most packed answers kept for one world; reaching it drops them all, which costs a refill."""

CLASSIC_PAYLOAD = 512
"""Bytes over UDP for a client that speaks no EDNS (RFC 1035 4.2.1)."""

LONGEST_MESSAGE = 65535

_BADVERS = 16
_HEAD = struct.Struct("!6H")

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Packed:
    """An answer in wire form, ready to be copied: all that follows the question, and the header's parts.

    shrinks_at: from then on (seconds since 1970) the TTLs inside are too long. served: the service and the
    region answered, for counting. kept: what the cache's key names by identity, held so that the identity
    stays taken.
    """

    flags: int
    answers: int
    authorities: int
    additionals: int
    tail: bytes
    shrinks_at: float | None = None
    served: tuple[str, str] | None = None
    kept: Located | None = None


class AnswerCache:
    """Answers that hold for one authority; a new one gets a new, empty cache.

    `varies` tells by question what of the client its answer depends on, which is a property of the
    configuration alone; that part of the client then completes the key.
    """

    __slots__ = ("answers", "authority", "varies")

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.varies: dict[Key, Consults] = {}
        self.answers: dict[Key, Packed] = {}

    @property
    def full(self) -> bool:
        return len(self.answers) >= CACHE_ENTRIES or len(self.varies) >= CACHE_ENTRIES

    def clear(self) -> None:
        """Forget all answers."""
        self.answers.clear()
        self.varies.clear()

    def keep(self, question: Key, varies: Consults, key: Key, packed: Packed) -> None:
        """Remember an answer under the question and under what else it depends on."""
        self.varies[question] = varies
        self.answers[key] = packed


class Responder:
    """Answers packets from any thread. What it knows is swapped whole by `use`, between two packets."""

    def __init__(self, authority: Authority, clock: Clock) -> None:
        self._clock = clock
        self._cache = AnswerCache(authority)
        self.responses: Counter[int] = Counter()
        self.served: Counter[tuple[str, str]] = Counter()
        self.queries = 0
        self.hits = 0
        self.silences = 0
        self.truncations = 0
        self.overflows = 0

    @property
    def authority(self) -> Authority:
        return self._cache.authority

    @property
    def cached(self) -> int:
        """Answers in the cache now."""
        return len(self._cache.answers)

    def use(self, authority: Authority) -> None:
        """Answer from `authority` from now on; answers cached stay only if decisions cannot differ."""
        old = self._cache.authority
        if (
            old.fleet is authority.fleet
            and old.zones is authority.zones
            and old.locator is authority.locator
            and old.world.regions is authority.world.regions
        ):
            self._cache.authority = authority
        else:
            self._cache = AnswerCache(authority)

    def respond(self, packet: bytes, source: str, *, stream: bool = False) -> bytes | None:
        """The answer to `packet` from the address `source`, or None for silence; never raises.

        stream: over TCP, where nothing needs truncating.
        """
        self.queries += 1
        if not is_query(packet):
            self.silences += 1
            return None
        try:
            query = read_query(packet)
        except WireError as error:
            self.responses[error.rcode] += 1
            return _error(packet, error.rcode)
        try:
            return self._answer(query, source, stream)
        except Exception:
            log.exception("a query could not be answered", source=source, question=query.question.hex())
            self.responses[SERVFAIL] += 1
            payload = self.authority.fleet.dns.udp_payload
            opt = write_opt(query.edns, payload) if query.edns is not None else b""
            return _assemble(query, QR | SERVFAIL, 0, 0, 0, b"", opt)

    def _answer(self, query: Query, source: str, stream: bool) -> bytes:
        cache = self._cache
        authority = cache.authority
        edns = query.edns
        settings = authority.fleet.dns
        if edns is not None:
            if edns.version:
                self.responses[_BADVERS] += 1
                opt = write_opt(Edns(edns.payload, 0, edns.do), settings.udp_payload, extended_rcode=1)
                return _assemble(query, QR, 0, 0, 0, b"", opt)
            if edns.client_subnet is not None and not settings.client_subnet:
                edns = Edns(edns.payload, 0, edns.do)
        packed, scope = self._find(cache, query, _client_address(edns, source))
        opt = b""
        limit = CLASSIC_PAYLOAD
        if edns is not None:
            subnet = edns.client_subnet
            if subnet is not None and subnet.source_prefix_length == 0:
                scope = 0
            opt = write_opt(edns, settings.udp_payload, scope=scope)
            limit = min(max(edns.payload, CLASSIC_PAYLOAD), settings.udp_payload)
        self.responses[packed.flags & 15] += 1
        if packed.served is not None:
            self.served[packed.served] += 1
        length = HEADER_LENGTH + len(query.question) + len(packed.tail) + len(opt)
        if length > (LONGEST_MESSAGE if stream else limit):
            self.truncations += 1
            return _assemble(query, packed.flags | TC, 0, 0, 0, b"", opt)
        return _assemble(
            query, packed.flags, packed.answers, packed.authorities, packed.additionals, packed.tail, opt
        )

    def _find(self, cache: AnswerCache, query: Query, address: IPAddress) -> tuple[Packed, int]:
        """The answer and the scope it may claim: from the cache, else from the pure function."""
        question = (query.name, query.type, query.class_)
        varies = cache.varies.get(question)
        located: Located | None = None
        if varies is not None:
            key: Key = question
            if varies.location:
                located = cache.authority.locator.locate(address)
            if varies is not NOTHING:
                key = _key(question, varies, located, address)
            packed = cache.answers.get(key)
            if packed is not None and (packed.shrinks_at is None or self._clock.now() < packed.shrinks_at):
                self.hits += 1
                prefix_length = located.prefix_length if located is not None else 0
                return packed, scope_of(varies, address, prefix_length)
        return self._make(cache, query, address)

    def _make(self, cache: AnswerCache, query: Query, address: IPAddress) -> tuple[Packed, int]:
        authority = cache.authority
        client = authority.client(address)
        reply = authority.reply(query.name, query.type, query.class_, client, self._clock.now())
        varies = reply.consulted
        packed = _pack(reply, query, client.located)
        question = (query.name, query.type, query.class_)
        if cache.full:
            log.warning("the answer cache is full and starts anew", entries=CACHE_ENTRIES)
            self.overflows += 1
            cache.clear()
        cache.keep(question, varies, _key(question, varies, client.located, address), packed)
        return packed, scope_of(varies, address, client.located.prefix_length)


def _key(question: Key, varies: Consults, located: Located | None, address: IPAddress) -> Key:
    """The question, completed by that part of the client which the answer depends on."""
    key = question
    if varies.location and located is not None:
        # Locators intern locations and networks, so that identity is equality, and cheap.
        key = (*key, id(located.location), id(located.network), id(located.carrier))
    if varies.share:
        key = (*key, share_of(address))
    return key


def _client_address(edns: Edns | None, source: str) -> IPAddress:
    if edns is not None and edns.client_subnet is not None and edns.client_subnet.source_prefix_length:
        return edns.client_subnet.address
    return ip_address(source.partition("%")[0])


def _pack(reply: Reply, query: Query, located: Located) -> Packed:
    wire = pack(reply, query.name, query.type, query.class_)
    _, flags, _, answers, authorities, additionals = _HEAD.unpack_from(wire)
    tail = wire[HEADER_LENGTH + len(query.question) :]
    shrinks_at = reply.decision.shrinks_at if reply.decision is not None else None
    return Packed(flags, answers, authorities, additionals, tail, shrinks_at, reply.served, located)


def _assemble(
    query: Query, flags: int, answers: int, authorities: int, additionals: int, tail: bytes, opt: bytes
) -> bytes:
    if query.rd:
        flags |= RD
    head = _HEAD.pack(query.id, flags, 1, answers, authorities, additionals + (1 if opt else 0))
    return head + query.question + tail + opt


def _error(packet: bytes, rcode: int) -> bytes:
    """A header alone: the rest of a packet that cannot be read is not worth repeating."""
    identifier, flags = struct.unpack_from("!HH", packet)
    flags = QR | (flags & 0x7800) | (flags & RD) | rcode
    return _HEAD.pack(identifier, flags, 0, 0, 0, 0)
