"""From packet to packet: who is answered, by which rules, from which answers; and what was counted."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import structlog

from gslb.clock import Clock
from gslb.dns import rdata
from gslb.dns.answer_cache import AnswerCache
from gslb.dns.asker import Asker
from gslb.dns.authority import Authority
from gslb.dns.chaos import CHAOS, chaos_reply
from gslb.dns.edns import Edns, write_opt
from gslb.dns.extended_error import (
    INVALID_QUERY_TYPE,
    NOT_AUTHORITATIVE,
    NOT_SUPPORTED,
    PROHIBITED,
    ExtendedError,
)
from gslb.dns.name import service_text
from gslb.dns.packing import Packed, assemble, empty, pack, with_opt
from gslb.dns.query import AA, FORMERR, NOTIFY, NOTIMP, TC, Query, is_query, read_query, salvage
from gslb.dns.rate_limit import Outcome
from gslb.dns.reply import IN, NOERROR, REFUSED, SERVFAIL, Reply
from gslb.dns.rules import Rules, rules_of
from gslb.dns.transfer import may_transfer, transfer_messages
from gslb.dns.tsig import TsigFailure, verify
from gslb.dns.zone import Zone
from gslb.errors import WireError

log = structlog.get_logger(__name__)

UNANSWERED_PORTS = frozenset({0, 7, 13, 17, 19, 37, 464})
"""Of services that answer whatever comes (echo, chargen and so on): to answer them is to begin a loop."""

_NOTAUTH, _BADVERS = 9, 16
_TC_IN_BYTE_2 = TC >> 8
_TRANSFERS = frozenset({rdata.AXFR, rdata.IXFR})
_NOT_IMPLEMENTED = frozenset({249, 253, 254})  # TKEY, MAILB, MAILA
_META_TYPES = frozenset({rdata.OPT, *range(128, 255)}) - _TRANSFERS

Answer = bytes | Iterator[bytes] | None
"""A message, the messages of a transfer, or silence."""


class Responder:
    """Answers packets; safe to use from several threads, its counts at worst a little low."""

    def __init__(self, authority: Authority, clock: Clock, node: str = "") -> None:
        """node: the name in the fleet of the node whose identity is told."""
        self._clock = clock
        self._node = node
        self._random_secret = secrets.token_bytes(16)
        self._hits = self._overflows = 0
        self._told_at: dict[str, int] = {}
        self.queries = self.silences = self.truncations = 0
        self.responses: Counter[int] = Counter()
        self.served: Counter[tuple[str, str]] = Counter()
        self.cookies: Counter[str] = Counter()
        self.transfers: Counter[str] = Counter()
        # Swapped as one: a query must not see the rules of one configuration and the answers of another.
        self._serving = (rules_of(authority.fleet.dns, node, self._random_secret), AnswerCache(authority))

    @property
    def authority(self) -> Authority:
        return self._serving[1].authority

    @property
    def rules(self) -> Rules:
        return self._serving[0]

    @property
    def hits(self) -> int:
        """Answers that were repeated from the cache."""
        return self._hits + self._serving[1].hits

    @property
    def overflows(self) -> int:
        """How often the cache was full."""
        return self._overflows + self._serving[1].overflows

    @property
    def cached(self) -> int:
        """Answers in the cache."""
        return self._serving[1].entries

    def use(self, authority: Authority) -> None:
        """Answer from `authority` from now on; what was answered before is kept only if it still holds."""
        rules, cache = self._serving
        rules = rules_of(authority.fleet.dns, self._node, self._random_secret, rules)
        if cache.still_holds(authority):
            cache.authority = authority
        else:
            self._hits += cache.hits
            self._overflows += cache.overflows
            cache = AnswerCache(authority)
        self._serving = (rules, cache)

    def respond(self, packet: bytes, source: str, port: int = 53, *, stream: bool = False) -> bytes | None:
        """The answer to `packet` from its sender's address and port, or None for silence; never raises.

        stream: over TCP, where answers may be long and nobody can pretend to be somebody else.
        """
        answer = self._respond(packet, source, port, stream)
        return answer if isinstance(answer, bytes) or answer is None else next(answer, None)

    def respond_stream(self, packet: bytes, source: str, port: int) -> Iterable[bytes]:
        """The messages that answer `packet` over TCP, made as they are taken; none for silence."""
        answer = self._respond(packet, source, port, True)
        if answer is None:
            return ()
        return (answer,) if isinstance(answer, bytes) else answer

    def _respond(self, packet: bytes, source: str, port: int, stream: bool) -> Answer:
        self.queries += 1
        if not is_query(packet) or (port in UNANSWERED_PORTS and not stream):
            self.silences += 1
            return None
        rules, cache = self._serving
        asker = Asker(source, stream)
        now = self._clock.now()
        try:
            query = read_query(packet)
        except WireError as error:
            reason = NOT_SUPPORTED if error.rcode == NOTIMP else None
            return self._finish(rules, salvage(packet), asker, empty(error.rcode, reason), now)
        try:
            return self._answer(rules, cache, query, packet, asker, now)
        except Exception:
            log.exception("a query could not be answered", source=source, question=query.question.hex())
            return self._finish(rules, query, asker, empty(SERVFAIL), now)

    def _answer(
        self, rules: Rules, cache: AnswerCache, query: Query, packet: bytes, asker: Asker, now: float
    ) -> Answer:
        """Everything about the asker first, then the question itself."""
        if query.tsig_start is not None:
            verified = verify(packet, query.tsig_start, rules.keyring, now)
            if isinstance(verified, TsigFailure):
                return self._finish(rules, query, asker, empty(verified.rcode), now, failure=verified)
            # It proves who wrote the query, and not where it comes from: it may be another's, sent again.
            asker.signer, asker.key = verified.signer, verified.key_name
        if query.edns is not None:
            if query.edns.version:
                return self._finish(rules, query, asker, empty(NOERROR), now, extended_rcode=_BADVERS >> 4)
            try:
                cookie = asker.introduce(query.edns, rules, now)
            except WireError as error:
                return self._finish(rules, query, asker, empty(error.rcode), now)
            if cookie is not None:
                self.cookies[cookie] += 1
        scope = 0
        if query.opcode == NOTIFY:
            packed = _acknowledgement(query, cache.authority)
        elif not query.question:
            packed = empty(NOERROR)
        elif query.class_ == CHAOS:
            packed = pack(chaos_reply(query.name, query.type, rules.texts), query)
        elif query.type in _TRANSFERS:
            return self._transfer(rules, cache.authority, query, asker, now)
        elif query.type in _META_TYPES:
            packed = empty(NOTIMP if query.type in _NOT_IMPLEMENTED else FORMERR, INVALID_QUERY_TYPE)
        else:
            packed, scope = cache.find(query, asker.client, now)
        return self._finish(rules, query, asker, packed, now, scope=scope)

    def _finish(
        self,
        rules: Rules,
        query: Query,
        asker: Asker,
        packed: Packed,
        now: float,
        *,
        scope: int = 0,
        extended_rcode: int = 0,
        failure: TsigFailure | None = None,
    ) -> bytes | None:
        """Bring an answer into the form and the length that the asker can take, if it may have one now."""
        rcode = packed.flags & 15 | extended_rcode << 4
        if not asker.known and rules.limiter is not None:
            outcome = rules.limiter.judge(asker.source, rcode != NOERROR, now)
            if outcome is not Outcome.SEND:
                for limited in rules.limiter.newly_limited():
                    log.warning("responses are limited", **asdict(limited))
                if outcome is Outcome.DROP:
                    return None
                packed, asker.brief = empty(packed.flags & 15, flags=packed.flags | TC), True
        self.responses[rcode] += 1
        if packed.served is not None:
            self.served[packed.served] += 1
        signature = asker.signer or failure
        room = limit = asker.limit(query.edns, rules)
        if signature is not None:
            room -= signature.length
        message = _fitted(query, packed, room, rules, asker, scope, extended_rcode)
        if len(message) > room:
            # Not even the question has room beside the signature: unsigned, but it says to come by TCP.
            signature, packed = None, empty(packed.flags & 15, flags=TC)
            message = _fitted(query, packed, limit, rules, asker, scope, extended_rcode)
        if message[2] & _TC_IN_BYTE_2:
            self.truncations += 1
        if isinstance(signature, TsigFailure):
            return signature.append_to(message)
        return signature.sign(message, now) if signature is not None else message

    def _transfer(self, rules: Rules, authority: Authority, query: Query, asker: Asker, now: float) -> Answer:
        """AXFR and IXFR: to whom the zone's operator allows it (RFC 5936, RFC 1995)."""
        zone = authority.zones.by_apex.get(query.name) if query.class_ == IN else None
        if query.type == rdata.AXFR and not asker.stream:
            return self._finish(rules, query, asker, empty(FORMERR), now)
        if zone is None:
            return self._finish(rules, query, asker, empty(_NOTAUTH, NOT_AUTHORITATIVE), now)
        if not may_transfer(
            authority.fleet.zones[service_text(zone.apex)].transfers, asker.address, asker.key
        ):
            self.transfers["refused"] += 1
            self._tell_of_transfer("transfer refused", zone, asker, now)
            return self._finish(rules, query, asker, empty(REFUSED, PROHIBITED), now)
        self.transfers["served"] += 1
        if not asker.stream:
            # Only that the client sees whether to come back over TCP (RFC 1995 2).
            return self._finish(rules, query, asker, pack(Reply(answer=[zone.soa]), query), now)
        self._tell_of_transfer("transfer", zone, asker, now)
        client = authority.client(asker.address)
        messages = transfer_messages(query, zone, lambda service: authority.decide(service, client, now))
        return self._completed(rules, query, asker, messages)

    def _tell_of_transfer(self, event: str, zone: Zone, asker: Asker, now: float) -> None:
        """At most one line of a kind a second: anybody can ask, and over UDP in anybody's name; but who is
        refused must not keep from the log who is not."""
        if int(now) != self._told_at.get(event):
            self._told_at[event] = int(now)
            log.info(event, zone=service_text(zone.apex), source=asker.source, key=asker.key)

    def _completed(
        self, rules: Rules, query: Query, asker: Asker, messages: Iterable[bytes]
    ) -> Iterator[bytes]:
        """The messages of a transfer with OPT in the first (RFC 5936 2.2.5) and a signature in each."""
        opt = b""
        if query.edns is not None:
            opt = _opt(rules, query.edns, asker)
        for message in messages:
            self.responses[NOERROR] += 1
            if opt:
                message, opt = with_opt(message, opt), b""
            # The client may take its time for a message, and more than a signature allows for all of them.
            yield message if asker.signer is None else asker.signer.sign(message, self._clock.now())


def _acknowledgement(query: Query, authority: Authority) -> Packed:
    """To a NOTIFY, which is about the SOA of a zone (RFC 1996 3.7, 4.7); it changes nothing here."""
    if query.type != rdata.SOA or query.class_ != IN:
        return empty(FORMERR)
    if query.name not in authority.zones.by_apex:
        return empty(_NOTAUTH, NOT_AUTHORITATIVE)
    return empty(NOERROR, flags=AA)


def _fitted(
    query: Query, packed: Packed, room: int, rules: Rules, asker: Asker, scope: int, extended_rcode: int
) -> bytes:
    """The message in `room` bytes if it can be done at all: what explains gives way to what answers
    (RFC 8914 3), and all options to the question."""
    asked, error = query.edns, packed.extended_error
    if asked is None:
        return assemble(query, packed, b"", room)
    message = assemble(query, packed, _opt(rules, asked, asker, scope, error, extended_rcode), room)
    if error is not None and message[2] & _TC_IN_BYTE_2:
        message = assemble(query, packed, _opt(rules, asked, asker, scope, None, extended_rcode), room)
    if len(message) > room:
        opt = write_opt(rules.settings.udp_payload, do=asked.do, extended_rcode=extended_rcode)
        message = assemble(query, packed, opt, room)
    return message


def _opt(
    rules: Rules,
    asked: Edns,
    asker: Asker,
    scope: int = 0,
    error: ExtendedError | None = None,
    extended_rcode: int = 0,
) -> bytes:
    options = asker.options(asked, rules, scope, error)
    return write_opt(rules.settings.udp_payload, do=asked.do, options=options, extended_rcode=extended_rcode)
