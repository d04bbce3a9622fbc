"""What is answered in the world as it is, and in which order it is made anew when the world changes."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from gslb.dns.answer_groups import NO_SHARE, SHARE_BITS, Group, Groups, Outcome, Question, outcome_key
from gslb.dns.authority import Authority
from gslb.dns.lessons import Lessons
from gslb.dns.packing import pack
from gslb.dns.query import IN
from gslb.policy.base import Client
from gslb.policy.preferences import HEAD, ORDER

MOST_OUTCOMES = 100_000
"""The most that are kept; beyond it the oldest go, and are made again if need be."""

STALE = 0.25
"""Seconds for which the last world's answers are still given at most, while their successors are made."""

AT_ONCE = 64
"""How many successors are made before a new world is in force; if it takes no more, nothing is ever stale."""

_EVICTED_AT_ONCE = 16
"""One part in so many goes when there is no room."""

_OWN = 4
"""One part in so many is for questions with a group of their own, of which there may be endlessly many."""

_FEW_REGIONS = 16
"""An outcome that follows from more regions counts as following from every one."""

_EVERY_REGION = ""


class Outcomes:
    """Safe to share between threads: finding takes no lock; storing takes one, so that nothing that was
    made of the last world is kept as this one's."""

    def __init__(self, authority: Authority, groups: Groups, lessons: Lessons | None) -> None:
        self.authority = authority
        self.kept: dict[int, Outcome] = {}
        self.made = 0
        self.overflows = 0
        self._groups = groups
        self._lessons = lessons
        self._own: dict[int, None] = {}
        self._dependents: defaultdict[str, set[int]] = defaultdict(set)
        self._waiting: dict[int, None] = {}
        # Stale ones that get no successor until somebody asks.
        self._lapsing: dict[int, None] = {}
        self._lock = threading.Lock()

    def find(self, key: int, question: Question, client: Client | None, now: float) -> Outcome | None:
        """What is kept under `key`; else, given a client to make it for, what is made now."""
        outcome = self.kept.get(key)
        if outcome is not None and now < outcome.ends:
            return outcome
        if client is None:
            return None
        self.made += 1
        authority = self.authority
        outcome = _made(authority, key, question, client, now)
        with self._lock:
            if authority is self.authority:
                self._store(key, outcome)
        return outcome

    def teach(self, key: int, outcome: Outcome) -> None:
        """Tell the compiled loop, which did not know it, unless the world has changed meanwhile."""
        with self._lock:
            if self._lessons is not None and self.kept.get(key) is outcome:
                self._lessons.outcome(key, outcome)

    def use(self, authority: Authority, now: float) -> None:
        """Go on in another world of the same fleet. Of what it changes, AT_ONCE are made anew before it is
        in force; the others may be given as they are for STALE seconds, until `refresh` comes to them."""
        changed = _changed_regions(self.authority, authority)
        with self._lock:
            first = list(islice(self._following(changed), AT_ONCE))
        remade: dict[int, Outcome] = {}
        for key in first:
            if len(remade) >= AT_ONCE:
                break
            outcome = self.kept.get(key)
            if outcome is not None:
                with suppress(Exception):  # it is told when somebody asks, and must not hold up the others
                    remade.update(self._remade(authority, key, outcome, now))
        with self._lock:
            self.authority = authority
            stale = dict.fromkeys(self._following(changed))
            kept, ends = self.kept, now + STALE
            for key in stale:
                outcome = kept[key]
                if ends < outcome.ends:
                    outcome.ends = ends
                if self._is_of_part(key):
                    self._lapsing[key] = None
                else:
                    self._waiting[key] = None
            if self._lessons is not None and stale:
                self._lessons.expire([key for key in stale if key not in remade], ends)
            for key, outcome in remade.items():
                self._store(key, outcome)

    def refresh(self, now: float, most: int = 16) -> bool:
        """Make some of the outcomes anew that the last change left stale; whether there are more."""
        authority = self.authority
        while most > 0 and self._waiting:
            key = next(iter(self._waiting))
            del self._waiting[key]
            outcome = self.kept.get(key)
            if outcome is None or outcome.ends == outcome.shrinks_at:
                continue  # gone, or somebody asked for it and had it made
            remade: dict[int, Outcome] = {}
            with suppress(Exception):  # as in `use`
                remade = self._remade(authority, key, outcome, now)
            most -= max(1, len(remade))
            with self._lock:
                if authority is not self.authority:
                    self._waiting[key] = None
                    return True
                for each, successor in remade.items():
                    self._store(each, successor)
        if not self._waiting and self._lapsing:
            with self._lock:
                self._drop([key for key in self._lapsing if key in self.kept and self._is_stale(key)])
                self._lapsing.clear()
        return bool(self._waiting)

    def _is_stale(self, key: int) -> bool:
        """Whether it has an end other than its own: the world has changed, and it has no successor yet."""
        outcome = self.kept[key]
        return outcome.ends != outcome.shrinks_at

    def _is_of_part(self, key: int) -> bool:
        """Whether it is for a part of the clients, of a group that tells no shares apart by itself. There may
        be very many of these, and many change at once: they are made anew when they are asked for."""
        group = self._groups.by_number.get(key >> 38)
        return key & SHARE_BITS != NO_SHARE and group is not None and not group.consults.share

    def _remade(self, authority: Authority, key: int, outcome: Outcome, now: float) -> dict[int, Outcome]:
        """An outcome's successor; before it, if its head tells too little now, those of the orders below."""
        successor = _made(authority, key, outcome.question, outcome.client, now)
        remade: dict[int, Outcome] = {}
        group = self._groups.by_number.get(key >> 38)
        preferences = group.preferences if group is not None else None
        if successor.packed is None and preferences is not None and key >> 37 & 1 == HEAD:
            client, share = outcome.client, key & SHARE_BITS
            for order in islice(preferences.below(key >> 13 & 0xFFFFFF), AT_ONCE):
                below = outcome_key(key >> 38, ORDER, order, share)
                example = preferences.example(order, client.share)
                remade[below] = _made(authority, below, outcome.question, example, now)
        remade[key] = successor
        return remade

    def forget(self, group: Group) -> None:
        """The outcomes of a group that is a question's own, which is not kept any more."""
        with self._lock:
            if group.keys:
                self._drop([key for key in group.keys if key in self.kept])
                group.keys.clear()

    def forget_services(self, services: Collection[str]) -> None:
        """The outcomes that were made for questions for these, which lead elsewhere now: a successor would be
        made for them again, and no longer be that of the others in the group."""
        with self._lock:
            self._drop([key for key, outcome in self.kept.items() if outcome.service in services])

    def _following(self, changed: Sequence[str]) -> Iterator[int]:
        """The keys of what follows from any of these regions; some may come twice."""
        for region in (*changed, _EVERY_REGION) if changed else ():
            yield from self._dependents.get(region, ())

    def _store(self, key: int, outcome: Outcome) -> None:
        group = self._groups.by_number.get(key >> 38)
        if group is None:
            return  # its question has been driven out meanwhile
        if not group.answers_for(outcome.service, self._groups.apart):
            return  # its service has been set apart meanwhile
        own = group.keys
        before = self.kept.get(key)
        if before is not None:
            self._follow(key, before, False)
        elif own is not None and len(self._own) >= MOST_OUTCOMES // _OWN:
            self._evict(self._own, MOST_OUTCOMES // _OWN)
        elif len(self.kept) >= MOST_OUTCOMES:
            self._evict(self.kept, MOST_OUTCOMES)
        self.kept[key] = outcome
        self._follow(key, outcome, True)
        if own is not None:
            own.add(key)
            self._own[key] = None
        if self._lessons is not None:
            self._lessons.outcome(key, outcome)

    def _evict(self, oldest_first: Iterable[int], most: int) -> None:
        self.overflows += 1
        self._drop(list(islice(oldest_first, max(1, most // _EVICTED_AT_ONCE))))

    def _drop(self, keys: list[int]) -> None:
        for key in keys:
            self._follow(key, self.kept.pop(key), False)
            self._own.pop(key, None)
        if self._lessons is not None:
            self._lessons.expire(keys, 0.0)

    def _follow(self, key: int, outcome: Outcome, follows: bool) -> None:
        """Note whether a change of the regions behind `outcome` is one of it."""
        looked_at = outcome.looked_at
        for region in looked_at if len(looked_at) <= _FEW_REGIONS else (_EVERY_REGION,):
            if follows:
                self._dependents[region].add(key)
            else:
                self._dependents[region].discard(key)


def _made(authority: Authority, key: int, question: Question, client: Client, now: float) -> Outcome:
    """The outcome of a key, for one of the clients that it is the key of."""
    name, rtype = question
    reply = authority.reply(name, rtype, IN, client, now)
    assert reply.decision is not None
    looked_at, parted = reply.decision.looked_at, reply.decision.parted
    by_head = key >> 37 & 1 == HEAD and key >> 13 & 0xFFFFFF
    for_all_parts = key & SHARE_BITS == NO_SHARE
    deeper = (by_head and (len(looked_at) > 1 or parted)) or (for_all_parts and parted)
    packed = None if deeper else pack(reply, name, rtype, IN)
    return Outcome(packed, question, client, looked_at, reply.decision.service)


def _changed_regions(before: Authority, after: Authority) -> list[str]:
    if before.world.regions is after.world.regions:
        return []
    changed = []
    for name in after.fleet.regions:
        was, now = before.world.region(name), after.world.region(name)
        if was is not now and was != now:
            changed.append(name)
    return changed
