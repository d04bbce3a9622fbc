"""What plain Python repeats answers from: questions and answers in the form that is found quickest."""

from __future__ import annotations

from collections import Counter, defaultdict
from ipaddress import IPv4Address, IPv6Address

from gslb.dns.answer_cache import MOST_ENTRIES, MOST_PASSING, AnswerCache
from gslb.dns.answer_groups import (
    NO_SHARE,
    Entry,
    Outcome,
    Question,
    deeper_key,
    outcome_key,
)
from gslb.dns.packing import Packed
from gslb.dns.ready import Ready
from gslb.dns.served_places import ServedPlaces
from gslb.policy.preferences import HEAD, ORDER, Place
from gslb.policy.share import IPV4_PREFIX_LENGTH, IPV6_PREFIX_LENGTH, share_of, share_prefix_length

MOST_SHARES = 50_000
"""The most client networks whose share is remembered; reaching it forgets them all."""

SHARE_LENGTHS = {4: IPV4_PREFIX_LENGTH, 6: IPV6_PREFIX_LENGTH}

_DIVIDED = -1  # instead of a share

ORDER_BIT, RANK_SHIFT = outcome_key(0, ORDER, 0, 0), 13
"""Of the key of an outcome."""


class Known:
    """What a question leads to: `ready` for everybody, or else a group's answers by client.

    base: the key of its outcomes without rank, and without share if they are `shared`. group: its number.
    ranks: of places, for that key. orders: the same for keys of the level ORDER, where ranks tell too little.
    first: where answers with the service's first region are counted.
    """

    __slots__ = ("base", "first", "group", "orders", "ranks", "ready", "shared")

    def __init__(self, entry: Entry | Ready, first: int) -> None:
        self.ready: Ready | None = None
        self.group = 0
        self.base, self.first, self.shared = 0, first, False
        self.ranks: dict[Place, int] | None = None
        self.orders: dict[Place, int] = {}
        if isinstance(entry, Ready):
            self.ready = entry
            return
        group = entry.group
        self.shared = group.consults.share
        self.group = group.number
        level = HEAD
        if group.preferences is not None:
            self.ranks, self.orders = group.preferences.known
            if group.preferences.divided:
                level, self.ranks = ORDER, self.orders
        self.base = outcome_key(group.number, level, 0, 0 if self.shared else NO_SHARE)


class KnownAnswers:
    """Of one cache, and so of one fleet, its zones and one locator; threads may share it.

    names: by type, then by name in lower case without the zero at its end. served: how often each pair of a
    service and one of its regions was answered; see `served_by_region`.
    """

    def __init__(self, cache: AnswerCache) -> None:
        self._cache = cache
        self._fleet = cache.authority.fleet
        self.names: defaultdict[int, dict[bytes, Known]] = defaultdict(dict)
        self._passing: dict[Question, Known] = {}
        self._shares: dict[int, int] = {}
        self._kept = 0  # put into `names` since it was empty
        self._places = ServedPlaces(self._fleet)
        self.served = [0] * self._places.size
        cache.when_regrouped.append(self._forget_everything)

    def meet(self, name: bytes, rtype: int) -> Known:
        """What a question leads to; raises KeyError if the cache does not know it.

        name: in any case, without the zero at its end.
        """
        lowered = name.lower()
        known = self.names[rtype].get(lowered)
        if known is not None:
            return known
        question = (lowered + b"\0", rtype)
        entry = self._cache.entries.get(question)
        if entry is not None:
            self._kept += 1
            if self._kept > MOST_ENTRIES:
                self._forget_all()
            known = self.names[rtype][lowered] = self._known(entry)
            if self._cache.entries.get(question) is not entry:
                self.names[rtype].pop(lowered, None)  # its service was set apart meanwhile
            return known
        known = self._passing.get(question)
        if known is None:
            entry = self._cache.passing[question]
            known = self._known(entry)
            if len(self._passing) >= MOST_PASSING:
                self._passing.clear()
            self._passing[question] = known
            if self._cache.passing.get(question) is not entry:
                self._passing.pop(question, None)
        return known

    def forget(self, name: bytes, rtype: int) -> None:
        """Have what a question leads to looked up again: the cache may have driven it out meanwhile."""
        lowered = name.lower()
        self.names[rtype].pop(lowered, None)
        self._passing.pop((lowered + b"\0", rtype), None)

    def ready(self, outcome: Outcome) -> Ready:
        """The form in which an outcome that has an answer is given."""
        assert outcome.packed is not None
        outcome.ready = ready = Ready(outcome.packed, self._fleet)
        return ready

    def share(self, version: int, number: int) -> int:
        """Of a client; raises KeyError if not all of its network is in one share.

        number: of its IPv4 address, or of the upper half of its IPv6 address.
        """
        network = number >> 8 if version == 4 else ~(number >> 16)
        share = self._shares.get(network)
        if share is None:
            if len(self._shares) >= MOST_SHARES:
                self._shares.clear()
            share = self._shares[network] = _share(version, number)
        if share == _DIVIDED:
            raise KeyError(network)
        return share

    def served_by_region(self) -> Counter[tuple[str, str]]:
        """How often each region was answered, by service and region."""
        return self._places.by_region(self.served)

    def _known(self, entry: Entry | Packed) -> Known:
        if isinstance(entry, Packed):
            return Known(Ready(entry, self._fleet), 0)
        return Known(entry, self._places.first[entry.service])

    def deeper(
        self, known: Known, key: int, vantage: int, version: int, number: int, scope: int, now: float
    ) -> tuple[Outcome, int]:
        """A group's answer for a client of whom `key` tells too little, and its scope; raises KeyError if it
        is not known. number: as for `share`. The answer may have ended by `now`."""
        outcomes = self._cache.outcomes.kept
        order = 0
        if known.ranks is not None:
            order = known.orders[vantage]
            outcome = outcomes[key | ORDER_BIT | order << RANK_SHIFT]
            if outcome.packed is not None or now >= outcome.ends:
                return outcome, scope
        share = self.share(version, number)
        return outcomes[deeper_key(known.group, order, share)], max(scope, SHARE_LENGTHS[version])

    def _forget_everything(self) -> None:
        self._passing.clear()
        self._forget_all()

    def _forget_all(self) -> None:
        # Shapes hold on to these dictionaries.
        for known in list(self.names.values()):
            known.clear()
        self._kept = 0


def _share(version: int, number: int) -> int:
    address = IPv4Address(number) if version == 4 else IPv6Address(number << 64)
    if share_prefix_length(address) != SHARE_LENGTHS[version]:
        return _DIVIDED
    return share_of(address)
