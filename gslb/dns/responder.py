"""From packet to packet: who is answered, by which rules, from which answers; and what was counted."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import structlog

from gslb.clock import Clock
from gslb.dns import rdata
from gslb.dns.answer_cache import AnswerCache
from gslb.dns.asker import UNANSWERED_PORTS, Asker
from gslb.dns.authority import Authority
from gslb.dns.chaos import CHAOS, chaos_reply
from gslb.dns.extended_error import (
    INVALID_QUERY_TYPE,
    NOT_AUTHORITATIVE,
    NOT_SUPPORTED,
    PROHIBITED,
)
from gslb.dns.fitting import fitted, is_truncated, opt_of
from gslb.dns.name import service_text
from gslb.dns.packing import Packed, empty, pack, with_opt
from gslb.dns.query import AA, FORMERR, IN, NOTIFY, NOTIMP, TC, Query, is_query, read_query, salvage
from gslb.dns.quick import Quick
from gslb.dns.quick_counts import QuickCounts
from gslb.dns.rate_limit import Outcome, RateLimiter
from gslb.dns.reply import NOERROR, REFUSED, SERVFAIL, Reply
from gslb.dns.rules import Rules, rules_of
from gslb.dns.transfer import may_transfer, transfer_messages
from gslb.dns.tsig import TsigFailure, verify
from gslb.dns.zone import Zone
from gslb.errors import WireError
from gslb.fleet import DnsSettings

if TYPE_CHECKING:
    from gslb.dns.compiled_path import CompiledPath, Counters

log = structlog.get_logger(__name__)

WARMING = 10.0
"""Seconds that a change of the fleet may be put off for, so that afterwards nobody has to wait."""

_NOTAUTH, _BADVERS = 9, 16
_TRANSFERS = frozenset({rdata.AXFR, rdata.IXFR})
_NOT_IMPLEMENTED = frozenset({249, 253, 254})  # TKEY, MAILB, MAILA
_META_TYPES = frozenset({rdata.OPT, *range(128, 255)}) - _TRANSFERS

Answer = bytes | Iterator[bytes] | None
"""A message, the messages of a transfer, or silence."""


class Responder:
    """Answers packets; safe to use from several threads, its counts at worst a little low.

    What it counts includes what the compiled loop answered, if there is one.
    """

    def __init__(
        self, authority: Authority, clock: Clock, node: str = "", compiled: CompiledPath | None = None
    ) -> None:
        """node: the name in the fleet of the node whose identity is told."""
        self._clock = clock
        self._node = node
        self._compiled = compiled
        self._random_secret = secrets.token_bytes(16)
        self._hits = self._overflows = 0
        self._told_at: dict[str, int] = {}
        self._queries = self._truncations = 0
        self._responses: Counter[int] = Counter()
        self._served: Counter[tuple[str, str]] = Counter()
        self._cookies: Counter[str] = Counter()
        self._silences = 0
        self.transfers: Counter[str] = Counter()
        # Swapped as one: a query must not see the rules of one configuration and the answers of another.
        self._serving = (self._rules_of(authority.fleet.dns), self._cache_of(authority))
        self._quick_counts = QuickCounts()
        self._hand_over()

    @property
    def authority(self) -> Authority:
        return self._serving[1].authority

    @property
    def rules(self) -> Rules:
        return self._serving[0]

    @property
    def clock(self) -> Clock:
        """By which it answers."""
        return self._clock

    @property
    def counters(self) -> Counters | None:
        """The compiled loop's."""
        return self._compiled.counters if self._compiled is not None else None

    @property
    def queries(self) -> int:
        """Packets received."""
        return (
            self._queries
            + self._quick_counts.asked
            + self._by_loop("answered")
            + self._by_loop("silences")
            + self._by_loop("ignored")
        )

    @property
    def silences(self) -> int:
        """Packets not answered at all."""
        return self._silences + self._by_loop("ignored")

    @property
    def truncations(self) -> int:
        """Answers cut, with the TC bit."""
        return self._truncations + self._quick_counts.truncations + self._by_loop("truncations")

    @property
    def hits(self) -> int:
        """Answers that were repeated from the cache."""
        return self._hits + self._serving[1].hits + self._quick_counts.asked + self._by_loop("answered")

    @property
    def overflows(self) -> int:
        """How often the cache was full."""
        return self._overflows + self._serving[1].overflows

    @property
    def cached(self) -> int:
        """Answers in the cache."""
        return self._serving[1].kept

    @property
    def responses(self) -> Counter[int]:
        """By RCODE."""
        counters = self.counters
        repeated = self._quick_counts.responses
        return self._responses + repeated + Counter(counters["rcodes"] if counters is not None else {})

    @property
    def served(self) -> Counter[tuple[str, str]]:
        """Answers for services, by service and region."""
        served = self._served + self._quick_counts.served + self.quick.known.served_by_region()
        return served + (self._compiled.served if self._compiled is not None else Counter())

    @property
    def cookies(self) -> Counter[str]:
        """Queries with a cookie, by what it proved."""
        counters = self.counters
        repeated = self._quick_counts.cookies
        return self._cookies + repeated + Counter(counters["cookies"] if counters is not None else {})

    def _by_loop(self, counter: Literal["answered", "ignored", "silences", "truncations"]) -> int:
        counters = self.counters
        return counters[counter] if counters is not None else 0

    def use(self, authority: Authority, prepared: AnswerCache | None = None) -> None:
        """Answer from `authority` from now on; what was answered before is kept only if it still holds.

        prepared: what `prepare` made for this, if the authority is another one in more than its world.
        """
        rules, cache = self._serving
        if prepared is not None and prepared.serves(authority):
            prepared.use(authority, self._clock.now())
        elif cache.serves(authority):
            cache.use(authority, self._clock.now())
            return
        else:
            prepared = self._cache_of(authority)
        rules = self._rules_of(authority.fleet.dns, rules)
        self._hits += cache.hits
        self._overflows += cache.overflows
        self._quick_counts.served.update(self.quick.known.served_by_region())
        self._serving = (rules, prepared)
        self._hand_over()

    def tell_of_limits(self) -> None:
        """Log what began to be limited; the compiled loop leaves that to others."""
        limiter = self.rules.limiter
        for limited in limiter.newly_limited() if limiter is not None else ():
            log.warning("responses are limited", **asdict(limited))

    def serves(self, authority: Authority) -> bool:
        """Whether `authority` differs from what is answered from by its world alone, and everything there is
        to answer from it quickly is in use."""
        cache = self._serving[1]
        return cache.serves(authority) and cache.complete

    def rank_ahead(self) -> bool:
        """Use idle time for what the compiled loop may need; whether there is more of it to do."""
        return self._serving[1].rank_ahead()

    def prepare(self, authority: Authority) -> AnswerCache:
        """Answers for `use` to begin with: to what is being asked now. For another thread: it takes up to
        WARMING seconds, and some more where a network map is new."""
        network_map = authority.locator.network_map
        if network_map is not None:
            network_map.examples()
        cache = self._cache_of(authority, self._serving[1])
        end = self._clock.now() + WARMING
        cache.warm(self._serving[1], self._clock.now(), lambda: self._clock.now() < end)
        return cache

    def refresh(self) -> bool:
        """Make some of the answers anew that a change of the world left stale; whether there are more."""
        return self._serving[1].outcomes.refresh(self._clock.now())

    def _rules_of(self, settings: DnsSettings, before: Rules | None = None) -> Rules:
        make_limiter = self._compiled.limiter if self._compiled is not None else RateLimiter
        return rules_of(settings, self._node, self._random_secret, before, make_limiter)

    def _cache_of(self, authority: Authority, before: AnswerCache | None = None) -> AnswerCache:
        compiled = self._compiled
        return AnswerCache(authority, compiled.lessons(authority) if compiled is not None else None, before)

    def _hand_over(self) -> None:
        """Have the compiled loop, and plain Python where it is quick, answer from what serves now."""
        rules, cache = self._serving
        self.quick = Quick(rules, cache, self._quick_counts, self.tell_of_limits)
        if self._compiled is not None and cache.lessons is not None:
            self._compiled.use(cache.lessons, rules)

    def respond(
        self, packet: bytes, source: str, port: int = 53, *, stream: bool = False, missed: bool = False
    ) -> bytes | None:
        """The answer to `packet` from its sender's address and port, or None for silence; never raises.

        stream: over TCP, where answers may be long and nobody can pretend to be somebody else.
        missed: whether the compiled loop did not know it, and should from now on.
        """
        answer = self._respond(packet, source, port, Asker(source, stream, missed))
        return answer if isinstance(answer, bytes) or answer is None else next(answer, None)

    def respond_stream(self, packet: bytes, source: str, port: int) -> Iterable[bytes]:
        """The messages that answer `packet` over TCP, made as they are taken; none for silence."""
        answer = self._respond(packet, source, port, Asker(source, True))
        if answer is None:
            return ()
        return (answer,) if isinstance(answer, bytes) else answer

    def _respond(self, packet: bytes, source: str, port: int, asker: Asker) -> Answer:
        self._queries += 1
        if not is_query(packet) or (port in UNANSWERED_PORTS and not asker.stream):
            self._silences += 1
            return None
        rules, cache = self._serving
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
                self._cookies[cookie] += 1
        scope, service = 0, ""
        if query.opcode == NOTIFY:
            packed = _acknowledgement(query, cache.authority)
        elif not query.question:
            packed = empty(NOERROR)
        elif query.class_ == CHAOS:
            packed = _packed(chaos_reply(query.name, query.type, rules.texts), query)
        elif query.type in _TRANSFERS:
            return self._transfer(rules, cache.authority, query, asker, now)
        elif query.type in _META_TYPES:
            packed = empty(NOTIMP if query.type in _NOT_IMPLEMENTED else FORMERR, INVALID_QUERY_TYPE)
        else:
            packed, scope, service = cache.find(query, asker.client, now, missed=asker.missed)
        return self._finish(rules, query, asker, packed, now, scope=scope, service=service)

    def _finish(
        self,
        rules: Rules,
        query: Query,
        asker: Asker,
        packed: Packed,
        now: float,
        *,
        scope: int = 0,
        service: str = "",
        extended_rcode: int = 0,
        failure: TsigFailure | None = None,
    ) -> bytes | None:
        """Bring an answer into the form and the length that the asker can take, if it may have one now."""
        rcode = packed.flags & 15 | extended_rcode << 4
        if not asker.known and rules.limiter is not None:
            outcome = rules.limiter.judge(asker.source, rcode != NOERROR, now)
            if outcome is not Outcome.SEND:
                self.tell_of_limits()
                if outcome is Outcome.DROP:
                    return None
                packed, asker.brief = empty(packed.flags & 15, flags=packed.flags | TC), True
        self._responses[rcode] += 1
        if packed.served is not None:
            self._served[service, packed.served[1]] += 1
        signature = asker.signer or failure
        room = limit = asker.limit(query.edns, rules)
        if signature is not None:
            room -= signature.length
        message = fitted(query, packed, room, rules, asker, scope, extended_rcode)
        if len(message) > room:
            # Not even the question has room beside the signature: unsigned, but it says to come by TCP.
            signature, packed = None, empty(packed.flags & 15, flags=TC)
            message = fitted(query, packed, limit, rules, asker, scope, extended_rcode)
        if is_truncated(message):
            self._truncations += 1
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
            return self._finish(rules, query, asker, _packed(Reply(answer=[zone.soa]), query), now)
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
            opt = opt_of(rules, query.edns, asker)
        for message in messages:
            self._responses[NOERROR] += 1
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


def _packed(reply: Reply, query: Query) -> Packed:
    return pack(reply, query.name, query.type, query.class_)
