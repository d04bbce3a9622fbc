"""Tells the compiled loop what was found out for it, in its own terms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gslb.dns.answer_groups import Entry, Outcome, Question
from gslb.dns.packing import Packed
from gslb.dns.served_places import ServedPlaces
from gslb.fleet import Fleet
from gslb.geo.network_map import NetworkMap
from gslb.policy.preferences import Preferences

if TYPE_CHECKING:
    from gslb.dns.compiled.book import Book

MOST_GROUPS = 1 << 26
"""How many groups the loop can tell apart; a cache that has had more, which takes days of a flood of names
under a wildcard alias, leaves those that come then to Python."""

_LOCATED, _SHARED, _ORDERED = 1, 2, 4


class Lessons:
    """One for each book, and so for each fleet, its zones and one network map. Whoever stores outcomes sees
    to it that what is told last is what is true last."""

    def __init__(self, book: Book, fleet: Fleet, network_map: NetworkMap | None) -> None:
        """network_map: the one that the book was made with."""
        self.book = book
        self.network_map = network_map
        self._served = ServedPlaces(fleet)
        self._places = {
            name: {region: place for place, region in enumerate(service.regions)}
            for name, service in fleet.services.items()
        }

    def question(self, question: Question, entry: Entry | Packed, *, passing: bool) -> None:
        """What a question leads to."""
        if isinstance(entry, Entry) and entry.group.number >= MOST_GROUPS:
            return  # its number has no room in a key; Python answers it
        name, rtype = question
        asked = name + rtype.to_bytes(2)
        if isinstance(entry, Packed):
            self.book.learn_answer(asked, entry, passing=passing)
            return
        group = entry.group
        flags, plan = 0, 0
        if group.preferences is not None:
            plan = group.preferences.number
            flags = _LOCATED | (_ORDERED if group.preferences.divided else 0)
        if group.consults.share:
            flags |= _SHARED
        self.book.learn_question(
            asked, group.number, plan, flags, self._served.first[entry.service], passing=passing
        )

    def rank(self, preferences: Preferences, level: int, vantage: int, rank: int) -> None:
        """What a place makes of a service's regions."""
        self.book.learn_rank(preferences.number, level, vantage, rank)

    def outcome(self, key: int, outcome: Outcome) -> None:
        """What is answered."""
        if key >> 38 >= MOST_GROUPS:
            return
        packed = outcome.packed
        if packed is None:
            self.book.learn_outcome(key, None)
            return
        served = -1
        if packed.served is not None:
            service, region = packed.served
            served = self._places[service][region]
        self.book.learn_outcome(key, packed, served)
        if outcome.ends < outcome.shrinks_at:
            self.book.expire((key,), outcome.ends)

    def expire(self, keys: Iterable[int], at: float) -> None:
        """From `at` on (seconds since 1970) nothing is answered from these."""
        self.book.expire([key for key in keys if key >> 38 < MOST_GROUPS], at)

    def served(self) -> Counter[tuple[str, str]]:
        """How often the loop answered, by service and region."""
        return self._served.by_region(self.book.served())
