"""Finds the answer to a question from a client: kept, or else made and kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from ipaddress import IPv4Address
from itertools import islice
from typing import NamedTuple

from gslb.dns.answer_groups import (
    NO_SHARE,
    Entry,
    Groups,
    Outcome,
    Question,
    deeper_key,
    outcome_key,
)
from gslb.dns.authority import Authority
from gslb.dns.extended_error import NOT_AUTHORITATIVE
from gslb.dns.lessons import Lessons
from gslb.dns.outcomes import Outcomes
from gslb.dns.packing import Packed, empty, pack
from gslb.dns.query import IN, Query
from gslb.dns.reply import REFUSED
from gslb.geo.location import IPAddress
from gslb.geo.network_map import NetworkMap
from gslb.policy.base import NOTHING, SHARE, Consults
from gslb.policy.decision import scope_of
from gslb.policy.preferences import HEAD, ORDER, Place
from gslb.policy.share import share_of

MOST_ENTRIES = 100_000
"""The most questions kept; beyond it the oldest go, and are looked into again if need be."""

MOST_PASSING = 20_000
"""The same for questions of which there are endlessly many (names that do not exist, types without data,
names under a wildcard): a flood of them drives out none of the others."""

MOST_AHEAD = 1 << 19
"""The most places times preferences that are ranked before anybody asks."""

_EVICTED_AT_ONCE = 16
"""One part in so many goes when there is no room."""

_NOBODY = IPv4Address(0)
_REFUSED = empty(REFUSED, NOT_AUTHORITATIVE)


class Found(NamedTuple):
    """An answer, the scope it may claim, and the service that it is counted for, empty for none."""

    packed: Packed
    scope: int = 0
    service: str = ""


class AnswerCache:
    """For one fleet, its zones and one locator; `use` takes it from world to world.

    A question leads to one answer for everybody, or to a group (see `Group`), whose answers depend on the
    world and on what it consults of the client.
    """

    def __init__(
        self, authority: Authority, lessons: Lessons | None = None, before: AnswerCache | None = None
    ) -> None:
        """before: the cache that this one is to follow; what still holds of it is taken over."""
        self.lessons = lessons
        same_places = before is not None and before.authority.locator is authority.locator
        self.groups: Groups = Groups(
            authority.fleet, before.groups if before is not None and same_places else None
        )
        self.groups.set_apart(authority.world)
        self.outcomes = Outcomes(authority, self.groups, lessons)
        self.entries: dict[Question, Entry | Packed] = {}
        self.passing: dict[Question, Entry | Packed] = {}
        self._overflows = 0
        self._ahead: Iterator[int] | None = None
        self._ranked = 0
        self._ranking = threading.Lock()
        self.hits = 0
        # Called when questions lead to other groups than before.
        self.when_regrouped: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @property
    def authority(self) -> Authority:
        """What is answered from."""
        return self.outcomes.authority

    @property
    def overflows(self) -> int:
        """How often there was no room for more."""
        return self._overflows + self.outcomes.overflows

    @property
    def kept(self) -> int:
        """How many answers there are to repeat."""
        fixed = sum(isinstance(entry, Packed) for entry in list(self.entries.values()))
        return fixed + len(self.passing) + len(self.outcomes.kept)

    def serves(self, authority: Authority) -> bool:
        """Whether `authority` differs by its world alone, so that `use` can take it up."""
        mine = self.authority
        return (
            mine.fleet is authority.fleet
            and mine.zones is authority.zones
            and mine.locator is authority.locator
        )

    @property
    def complete(self) -> bool:
        """Whether the compiled loop has the network map there is; the locator may have got it only later."""
        return self.lessons is None or self.lessons.network_map is self.authority.locator.network_map

    def use(self, authority: Authority, now: float) -> None:
        """Go on in another world."""
        apart = self.groups.set_apart(authority.world)
        if apart:
            self._regroup(apart)
        self.outcomes.use(authority, now)

    def _regroup(self, services: Collection[str]) -> None:
        """Lead the questions for `services` to groups of their own."""
        with self._lock:
            for passing, kept in ((False, self.entries), (True, self.passing)):
                of_these = [
                    (question, entry)
                    for question, entry in kept.items()
                    if isinstance(entry, Entry) and entry.service in services
                ]
                for question, entry in of_these:
                    moved = kept[question] = self.groups.moved(question, entry)
                    if self.lessons is not None:
                        self.lessons.question(question, moved, passing=passing)
        self.outcomes.forget_services(services)
        for forget in self.when_regrouped:
            forget()

    def warm(self, before: AnswerCache, now: float, wanted: Callable[[], bool]) -> None:
        """Find ahead what was asked of the cache that this one follows, as long as it is `wanted`."""
        asked = list(before.entries)
        clients = [(each.question, each.client.address) for each in list(before.outcomes.kept.values())]
        somebody = clients[0][1] if clients else _NOBODY
        for question, address in (*clients, *((question, somebody) for question in asked)):
            if not wanted():
                break
            # What cannot be answered ahead is told when it is asked for; it must not keep all else waiting.
            with suppress(Exception):
                self._find(question, address, now, missed=True)
        while wanted() and self.rank_ahead():
            pass
        self.groups.let_go()

    def rank_ahead(self, most: int = 16) -> bool:
        """Work out for some more places what is preferred there, before anybody asks from there; whether
        there are more. Only with a network map, whose examples are known."""
        network_map = self.authority.locator.network_map
        if network_map is None or not network_map.has_examples or not self._ranking.acquire(blocking=False):
            return False
        try:
            if self._ahead is None:
                self._ahead = self._unranked(network_map)
            done = sum(1 for _ in islice(self._ahead, most))
            if done < most:
                self._ahead = None
            return done == most
        finally:
            self._ranking.release()

    def _unranked(self, network_map: NetworkMap) -> Iterator[int]:
        """Ranks one place at each step, of all preferences that there are."""
        examples = network_map.examples()
        for preferences in self.groups.preferences[self._ranked :]:
            if (self._ranked + 1) * len(examples) > MOST_AHEAD:
                return
            levels = (ORDER,) if preferences.divided else (HEAD, ORDER) if preferences.few else (HEAD,)
            for vantage, address in examples.items():
                for level in levels:
                    rank = preferences.known[level].get(vantage)
                    if rank is None:
                        rank = preferences.rank(level, vantage, self.authority.client(address))
                    if self.lessons is not None:
                        self.lessons.rank(preferences, level, vantage, rank)
                yield vantage
            self._ranked += 1

    def find(self, query: Query, address: IPAddress, now: float, *, missed: bool = False) -> Found:
        """The answer to `query` for a client. missed: whether the compiled loop did not know it."""
        if query.class_ != IN:
            return Found(_REFUSED)
        return self._find((query.name, query.type), address, now, missed)

    def _find(self, question: Question, address: IPAddress, now: float, missed: bool) -> Found:
        entry = self.entries.get(question) or self.passing.get(question)
        if entry is None:
            if self.authority.zones.for_question(*question) is None:
                return Found(_REFUSED)
            entry = self._begin(question, address, now)
        elif isinstance(entry, Packed):
            self.hits += 1
        if missed and self.lessons is not None:
            with self._lock:
                # Not one that the service was moved away from meanwhile.
                if (self.entries.get(question) or self.passing.get(question)) is entry:
                    self.lessons.question(question, entry, passing=question in self.passing)
        if isinstance(entry, Packed):
            return Found(entry)
        made = self.outcomes.made
        found = self._outcome(entry, question, address, now, missed)
        if made == self.outcomes.made:
            self.hits += 1
        return found

    def _begin(self, question: Question, address: IPAddress, now: float) -> Entry | Packed:
        """What a question that was not met before leads to."""
        name, rtype = question
        authority = self.authority
        reply = authority.reply(name, rtype, IN, authority.client(address), now)
        entry = self.groups.entry(question, reply) or pack(reply, name, rtype, IN)
        kept, most = (self.passing, MOST_PASSING) if reply.passing else (self.entries, MOST_ENTRIES)
        with self._lock:
            if len(kept) >= most:
                self._overflows += 1
                for oldest in list(islice(kept, max(1, most // _EVICTED_AT_ONCE))):
                    gone = kept.pop(oldest)
                    self.groups.forget(oldest, gone)
                    if isinstance(gone, Entry):
                        self.outcomes.forget(gone.group)
            if isinstance(entry, Entry):
                entry = self.groups.moved(question, entry)
            kept[question] = entry
        return entry

    def _outcome(
        self, entry: Entry, question: Question, address: IPAddress, now: float, missed: bool
    ) -> Found:
        """A group's answer: by the region that the client's place prefers to all others, and only where that
        does not tell enough, by the whole order."""
        group = entry.group
        preferences, share = group.preferences, NO_SHARE
        if group.consults.share:
            share = share_of(address)
        if preferences is None:
            outcome = self._at(outcome_key(group.number, HEAD, 0, share), question, address, now, missed)
            if outcome.packed is None:
                return self._deeper(entry, 0, question, address, 0, now, missed)
            return _found(entry, outcome, address, 0)
        rank = 0
        place, prefix_length = self._place(address)
        for level in (HEAD, ORDER):
            if level == HEAD and preferences.divided:
                continue
            known = preferences.known[level].get(place)
            rank = known or preferences.rank(level, place, self.authority.client(address))
            if missed and self.lessons is not None and isinstance(place, int):
                self.lessons.rank(preferences, level, place, rank)
            outcome = self._at(outcome_key(group.number, level, rank, share), question, address, now, missed)
            if outcome.packed is not None:
                return _found(entry, outcome, address, prefix_length)
        return self._deeper(entry, rank, question, address, prefix_length, now, missed)

    def _deeper(
        self,
        entry: Entry,
        order: int,
        question: Question,
        address: IPAddress,
        prefix_length: int,
        now: float,
        missed: bool,
    ) -> Found:
        """An answer that depends on the client's part as well: a region does not take everybody."""
        key = deeper_key(entry.group.number, order, share_of(address))
        outcome = self._at(key, question, address, now, missed)
        return _found(entry, outcome, address, prefix_length, SHARE)

    def _at(self, key: int, question: Question, address: IPAddress, now: float, missed: bool) -> Outcome:
        outcome = self.outcomes.find(key, question, None, now)
        if outcome is None:
            outcome = self.outcomes.find(key, question, self.authority.client(address), now)
            assert outcome is not None
        elif missed:
            self.outcomes.teach(key, outcome)
        return outcome

    def _place(self, address: IPAddress) -> tuple[Place, int]:
        """Where a client is, as `Preferences` want it, and how long a prefix around it is there as well."""
        locator = self.authority.locator
        network_map = locator.network_map
        if network_map is not None:
            number = int(address)
            key = network_map.key4(number) if address.version == 4 else network_map.key6(number >> 64)
            if key >> 8:
                return key >> 8, key & 0xFF
        located = locator.locate(address)
        # Locators intern locations and networks, so that identity is equality, and cheap.
        return (id(located.location), id(located.network), id(located.carrier)), located.prefix_length


def _found(
    entry: Entry, outcome: Outcome, address: IPAddress, prefix_length: int, beyond: Consults = NOTHING
) -> Found:
    """beyond: what was consulted beside what the group always does."""
    packed = outcome.packed
    assert packed is not None
    # That nobody can answer holds for every client.
    scope = 0 if packed.flags & 15 else scope_of(entry.group.consults | beyond, address, prefix_length)
    return Found(packed, scope, entry.service)
