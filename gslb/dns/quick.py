"""Repeats answers in plain Python for as little as can be; whatever is unusual is left to the Responder."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from gslb.dns.answer_cache import AnswerCache
from gslb.dns.asker import UNANSWERED_PORTS, Asker
from gslb.dns.fitting import fitted, is_truncated
from gslb.dns.known_answers import RANK_SHIFT, SHARE_LENGTHS, KnownAnswers
from gslb.dns.packing import Packed, empty
from gslb.dns.query import HEADER_LENGTH, TC, read_query
from gslb.dns.query_shapes import COOKIE_HEAD, TOLD_WITH_SUBNET, TOLD_WITHOUT, Head, Shape, read_shape
from gslb.dns.quick_counts import QuickCounts
from gslb.dns.rate_limit import Outcome as Verdict
from gslb.dns.rate_limit import RateLimiter
from gslb.dns.ready import Ready
from gslb.dns.rules import Rules
from gslb.errors import WireError

SILENCE = b""
"""Instead of an answer: there is none to be sent."""

MOST_SHAPES = 4096
"""The most shapes of queries that are remembered; reaching it forgets them: they have to be read again."""

MOST_TRUSTED = 50_000
"""The same for askers, and whether their client subnets count."""

_SCOPES = [bytes((scope,)) for scope in range(129)]
_VERSIONS = {4: 4, 16: 6}
_SEND, _DROP = Verdict.SEND, Verdict.DROP
_number = int.from_bytes


class Quick:
    """Answers by the same rules and from the same cache as the Responder, which fills it, in the same bytes.

    Threads may share it; its counts are at worst a little low.
    """

    def __init__(
        self, rules: Rules, cache: AnswerCache, counts: QuickCounts, tell_of_limits: Callable[[], None]
    ) -> None:
        """tell_of_limits: called when a response is limited."""
        self.known = KnownAnswers(cache)
        self._cache = cache
        self._rules = rules
        self._counts = counts
        # Who has the compiled limiter answers with the compiled loop, and not here.
        self._limiter = rules.limiter if isinstance(rules.limiter, RateLimiter) else None
        self._tell_of_limits = tell_of_limits
        self._everybody = rules.trust.everybody
        self._counting: dict[bytes, Shape] = {}
        self._ignoring: dict[bytes, Shape] = {}
        self._trusted: dict[bytes, bool] = {}

    def answer(self, packet: bytes, address: bytes, port: int, now: float) -> bytes | None:
        """The answer to `packet`, SILENCE, or None if the Responder is to look at it, and to count it.

        address: its sender's, 4 or 16 bytes. now: seconds since 1970.
        """
        head = port, address, packet[:2], packet[2:HEADER_LENGTH]
        return self._answer(head, packet[HEADER_LENGTH:], now)

    def answers(self, received: Iterable[tuple[Head, bytes]], now: float) -> tuple[list[bytes], list[int]]:
        """The answers to packets in parts, each one's head and what follows it; and which of them (by index)
        are SILENCE only until the Responder has looked at the packet.

        What is usual is all in this place, as a call takes as long as five lines; KeyErrors end what is not.
        """
        answers: list[bytes] = []
        unanswered: list[int] = []
        asked = 0
        counts, known_answers, served = self._counts, self.known, self.known.served
        outcomes, limiter, unanswered_ports = self._cache.outcomes.kept, self._limiter, UNANSWERED_PORTS
        everybody, counting = self._everybody, self._counting
        network_map = self._cache.authority.locator.network_map
        window = limiter.window(now) if limiter is not None else None
        for head, body in received:
            port, address, identifier, header = head
            # A name that is equal to a known one is as well-formed as that.
            name, _, rest = body.partition(b"\0")
            shapes = counting if everybody or self._trusts(address) else self._ignoring
            shape = shapes.get(rest[:TOLD_WITH_SUBNET]) or shapes.get(rest[:TOLD_WITHOUT])
            if shape is None or len(rest) != shape.length:
                answer = self._answer_reshaped(head, name, rest, shapes, now)
                if answer is None:
                    unanswered.append(len(answers))
                answers.append(answer or SILENCE)
                continue
            try:
                known = shape.names.get(name) or known_answers.meet(name, shape.type)
                bits = shape.headers[header]
                subnet = rest[TOLD_WITH_SUBNET : shape.address_end] if shape.version else b""
                if port in unanswered_ports or (shape.beyond and subnet[-1] & shape.beyond):
                    raise KeyError
                ready, scope = known.ready, 0
                if ready is None:
                    version, client = shape.version or _VERSIONS[len(address)], subnet or address
                    if version == 6:
                        client = client[:8]  # neither a map nor a share looks at more
                    number = _number(client) << shape.shift
                    key, vantage = known.base, 0
                    if known.shared:
                        key |= known_answers.share(version, number)
                        scope = SHARE_LENGTHS[version]
                    rank = 0
                    if known.ranks is not None:
                        if network_map is None:
                            raise KeyError
                        # As the map's own look-ups do it, see `Spans`.
                        if version == 4:
                            spans, top = network_map.ipv4, number >> 16
                        else:
                            spans, top = network_map.ipv6, number >> 48
                        at = bisect_right(spans.starts, number, spans.heads[top], spans.heads[top + 1]) - 1
                        vantage, prefix_length = spans.vantages[at], spans.prefix_lengths[at]
                        rank = known.ranks[vantage]
                        if prefix_length > scope:
                            scope = prefix_length
                    outcome = outcomes[key | rank << RANK_SHIFT]
                    if outcome.packed is None and now < outcome.ends:
                        outcome, scope = known_answers.deeper(
                            known, key, vantage, version, number, scope, now
                        )
                    if now >= outcome.ends:
                        raise KeyError
                    ready = outcome.ready or known_answers.ready(outcome)
                    if ready.error:
                        scope = 0  # that nobody can answer holds for every client
                echoed, proof = subnet, ""
                if subnet:
                    echoed = _SCOPES[scope] + subnet
                if shape.cookie_at:
                    cookie, proof = self._cookie(shape, rest, address, now)
                    echoed += cookie
            except (KeyError, WireError):
                known_answers.forget(name, shape.type)
                unanswered.append(len(answers))
                answers.append(SILENCE)
                continue
            whole = len(name) + ready.length <= shape.room
            if whole:
                message = b"".join(
                    (identifier, ready.heads[bits], name, shape.question, ready.tail, shape.opt, echoed)
                )
            else:
                message = self._assembled(head, body, ready.packed, scope, now)
            asked += 1
            if proof:
                counts.cookies[proof] += 1
            if limiter is not None and window is not None and proof != "good":
                verdict = limiter.judge_in(window, address, ready.error)
                if verdict is not _SEND:
                    answers.append(self._limited(verdict, head, body, ready, scope, now))
                    continue
            if ready.place >= 0:
                served[known.first + ready.place] += 1
            if ready.error:
                counts.failed[ready.rcode] += 1
            if not whole and is_truncated(message):
                counts.truncations += 1
            answers.append(message)
        counts.asked += asked
        return answers, unanswered

    def _answer(self, head: Head, body: bytes, now: float) -> bytes | None:
        answers, unanswered = self.answers([(head, body)], now)
        return None if unanswered else answers[0]

    def _trusts(self, address: bytes) -> bool:
        """Whether the client subnet of an asker counts."""
        if self._rules.trust.nobody:
            return False
        trusted = self._trusted.get(address)
        if trusted is None:
            if len(self._trusted) >= MOST_TRUSTED:
                self._trusted.clear()
            trusted = self._trusted[address] = self._rules.trust.includes(ip_address(address))
        return trusted

    def _answer_reshaped(
        self, head: Head, name: bytes, rest: bytes, shapes: dict[bytes, Shape], now: float
    ) -> bytes | None:
        """To a query that was not recognized; from now on those of its shape are."""
        read = read_shape(
            rest,
            self._rules.settings.udp_payload,
            self.known.names,
            subnet_counts=shapes is self._counting,
            cookies=self._rules.cookies is not None,
        )
        if read is None:
            return None
        shape, rest = read
        if len(shapes) >= MOST_SHAPES:
            shapes.clear()
        shapes[rest[: shape.told]] = shape
        return self._answer(head, name + b"\0" + rest, now)

    def _cookie(self, shape: Shape, rest: bytes, address: bytes, now: float) -> tuple[bytes, str]:
        """The COOKIE option of the answer, and what the query's proved, if they are in use.

        Raises KeyError if it is another option, and WireError (FORMERR) if it cannot be one.
        """
        if rest[shape.address_end : shape.cookie_at] != shape.cookie_head:
            raise KeyError
        if self._rules.cookies is None:
            return b"", ""
        checked = self._rules.cookies.check(rest[shape.cookie_at :], address, now)
        return COOKIE_HEAD + checked.option, "good" if checked.good else shape.unproven

    def _assembled(self, head: Head, body: bytes, packed: Packed, scope: int, now: float) -> bytes:
        """An answer that is not ready: it has to be cut, or explains itself."""
        _, address, identifier, header = head
        query, asker = read_query(identifier + header + body), Asker(str(ip_address(address)), False)
        if query.edns is not None:
            asker.introduce(query.edns, self._rules, now)
        return fitted(query, packed, asker.limit(query.edns, self._rules), self._rules, asker, scope)

    def _limited(
        self, verdict: Verdict, head: Head, body: bytes, ready: Ready, scope: int, now: float
    ) -> bytes:
        """What goes out instead of an answer that is one too many."""
        self._tell_of_limits()
        if verdict is _DROP:
            self._counts.dropped += 1
            return SILENCE
        self._counts.truncations += 1
        if ready.error:
            self._counts.failed[ready.rcode] += 1
        truncated = empty(ready.rcode, flags=ready.packed.flags | TC)
        return self._assembled(head, body, truncated, scope, now)
