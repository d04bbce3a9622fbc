"""Answers given before, found again by the question and by what else of the client they depend on."""

from __future__ import annotations

from gslb.dns.authority import Authority
from gslb.dns.packing import Packed, pack
from gslb.dns.query import Query
from gslb.geo.location import IPAddress, Located
from gslb.policy.base import NOTHING, Consults
from gslb.policy.decision import scope_of
from gslb.policy.share import share_of

MOST_ENTRIES = 200_000
"""The most packed answers kept for one world; reaching it drops them all, which costs a refill."""

MOST_PASSING = 20_000
"""The same for names of which there are endlessly many (NXDOMAIN, wildcards): a flood of them must not
drive out the others."""

Key = tuple[object, ...]


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
            if len(self.varies) >= MOST_ENTRIES:
                self.varies.clear()
            self.varies[question] = varies
            key = _key(question, varies, client.located, address)
            self._keep(self.answers, MOST_ENTRIES, key, packed)
        return packed, scope_of(varies, address, client.located.prefix_length)

    def _keep(self, kept: dict[Key, Packed], most: int, key: Key, packed: Packed) -> None:
        if len(kept) >= most:
            self.overflows += 1
            kept.clear()
        kept[key] = packed


def _key(question: Key, varies: Consults, located: Located | None, address: IPAddress) -> Key:
    """The question, completed by that part of the client which the answer depends on."""
    key = question
    if varies.location and located is not None:
        # Locators intern locations and networks, so that identity is equality, and cheap.
        key = (*key, id(located.location), id(located.network), id(located.carrier))
    if varies.share:
        key = (*key, share_of(address))
    return key
