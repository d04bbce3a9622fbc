"""Answers given before, found again by the question and by what else of the client they depend on."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TypeVar

from gslb.dns.authority import Authority
from gslb.dns.extended_error import NOT_AUTHORITATIVE
from gslb.dns.packing import Packed, empty, pack
from gslb.dns.query import Query
from gslb.dns.reply import IN, REFUSED
from gslb.geo.location import IPAddress, Located
from gslb.policy.base import NOTHING, Consults
from gslb.policy.decision import scope_of
from gslb.policy.share import share_of

MOST_ENTRIES = 100_000
"""The most packed answers kept for one world; beyond it the oldest go, and are made again if need be."""

MOST_PASSING = 20_000
"""The same for questions of which there are endlessly many and whose answers say nothing (names that do not
exist, types without data): a flood of them drives out none of the others."""

_EVICTED_AT_ONCE = 16
"""One part in so many goes when there is no room."""

_REFUSED = empty(REFUSED, NOT_AUTHORITATIVE)

Key = tuple[object, ...]
Kept = TypeVar("Kept")


class AnswerCache:
    """Answers that hold for one authority; a new one gets a new, empty cache.

    `varies` tells by question what of the client its answer depends on, which is a property of the
    configuration alone; that part of the client then completes the key.
    """

    __slots__ = ("answers", "authority", "hits", "overflows", "passing", "varies")

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.varies: dict[Key, Consults] = {}
        self.answers: dict[Key, Packed] = {}
        self.passing: dict[Key, Packed] = {}
        self.hits = 0
        self.overflows = 0

    @property
    def entries(self) -> int:
        """How many answers are kept."""
        return len(self.answers) + len(self.passing)

    def still_holds(self, authority: Authority) -> bool:
        """Whether no decision under `authority` can differ from those that were kept."""
        kept = self.authority
        return (
            kept.fleet is authority.fleet
            and kept.zones is authority.zones
            and kept.locator is authority.locator
            and kept.world.regions is authority.world.regions
        )

    def find(self, query: Query, address: IPAddress, now: float) -> tuple[Packed, int]:
        """The answer to `query` for a client, and the scope it may claim: kept, else made and kept."""
        question = (query.name, query.type, query.class_)
        varies = self.varies.get(question)
        if varies is None:
            packed = self.passing.get(question)
            if packed is not None:
                self.hits += 1
                return packed, 0
            if query.class_ != IN or self.authority.zones.for_question(query.name, query.type) is None:
                return _REFUSED, 0
            return self._make(question, query, address, now)
        key: Key = question
        located: Located | None = None
        if varies is not NOTHING:
            if varies.location:
                located = self.authority.locator.locate(address)
            key = _key(question, varies, located, address)
        packed = self.answers.get(key)
        if packed is None or (packed.shrinks_at is not None and now >= packed.shrinks_at):
            return self._make(question, query, address, now)
        self.hits += 1
        return packed, scope_of(varies, address, located.prefix_length if located is not None else 0)

    def _make(self, question: Key, query: Query, address: IPAddress, now: float) -> tuple[Packed, int]:
        client = self.authority.client(address)
        reply = self.authority.reply(query.name, query.type, query.class_, client, now)
        varies = reply.consulted
        packed = pack(reply, query, client.located)
        if reply.passing and varies is NOTHING and packed.shrinks_at is None:
            self._keep(self.passing, MOST_PASSING, question, packed)
        else:
            self._keep(self.varies, MOST_ENTRIES, question, varies)
            key = _key(question, varies, client.located, address)
            self._keep(self.answers, MOST_ENTRIES, key, packed)
        return packed, scope_of(varies, address, client.located.prefix_length)

    def _keep(self, kept: dict[Key, Kept], most: int, key: Key, value: Kept) -> None:
        if len(kept) >= most and key not in kept:
            self.overflows += 1
            with suppress(RuntimeError):  # another thread was at it as well; it has made room
                for oldest in list(islice(kept, max(1, most // _EVICTED_AT_ONCE))):
                    kept.pop(oldest, None)
        kept[key] = value


def _key(question: Key, varies: Consults, located: Located | None, address: IPAddress) -> Key:
    """The question, completed by that part of the client which the answer depends on."""
    key = question
    if varies.location and located is not None:
        # Locators intern locations and networks, so that identity is equality, and cheap.
        key = (*key, id(located.location), id(located.network), id(located.carrier))
    if varies.share:
        key = (*key, share_of(address))
    return key
