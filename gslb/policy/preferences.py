"""What a client's place makes of a service's regions: ranked once for each place, and told by a number."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import replace
from itertools import count

from gslb.fleet import Fleet, Service
from gslb.policy.base import Client
from gslb.policy.candidates import candidates_of
from gslb.policy.decision import composed, rankings_of
from gslb.policy.intake import reluctance

Place = Hashable
"""What tells apart the places that clients are at: a vantage of the network map, or objects by identity."""

HEAD, ORDER = 0, 1
"""The levels: what the rank of a place is a number of, the region that comes first or the whole order."""

FEW = 64
"""Of so many regions every order that occurs gets a number at once; of more, when it is asked for."""

MOST_PLACES = 1 << 20
"""The most places that are remembered of all preferences there are, each of which has an equal part of it;
reaching that forgets them, which costs ranking them again."""

FEWEST_PLACES = 1 << 12
"""So many may be remembered of each, however many preferences there are."""


class Preferences:
    """Of all services with the same policies and regions; worlds come and go, and this stays.

    A head is the number (from 1) of the region that comes first, and as long as nobody looks at another, it
    is all that an answer depends on. An order is the number of the whole order. Where a policy goes by the
    client's share, a place tells no order; then there is no head, and the number stands for what the
    policies that go by places make of it, which together with the share is enough. Where regions give clients
    away when they are full, orders tell apart as well how much a place loses by that.
    """

    def __init__(self, number: int, fleet: Fleet, service: Service) -> None:
        self.number = number
        self.divided = any(policy.consults.share for policy in service.policies)
        self.few = len(service.regions) <= FEW
        self.most_places = MOST_PLACES
        # By level: the ranks of all places known so far.
        self.known: tuple[dict[Place, int], dict[Place, int]] = ({}, {})
        self._fleet = fleet
        self._service = service
        self._heads = {name: index for index, name in enumerate(service.regions, 1)}
        self._numbers: dict[Hashable, int] = {}
        # Two threads may draw a number for the same order; the one that comes second leaves a gap.
        self._next = count(1)
        self._clients: dict[int, Client] = {}
        self._below: defaultdict[int, dict[int, None]] = defaultdict(dict)

    def belong_to(self, fleet: Fleet, service: Service) -> None:
        """Go on in another fleet, in which everything that the preferences depend on is the same."""
        self._fleet, self._service = fleet, service

    def rank(self, level: int, place: Place, client: Client) -> int:
        """The number of the head or of the order (`level`) of the place where `client` is."""
        rank = self.known[level].get(place)
        if rank is None:
            rank = self._learn(place, client, self.few or level == ORDER)[level]
        return rank

    def below(self, head: int) -> tuple[int, ...]:
        """The orders known so far that begin with `head`."""
        return tuple(self._below.get(head, ()))

    def example(self, order: int, share: int) -> Client:
        """A client of that order and share."""
        return replace(self._clients[order], share=share)

    def _learn(self, place: Place, client: Client, wholly: bool) -> tuple[int, int]:
        """The head of a place, 0 where there is none, and its order, 0 unless it is `wholly` to be known."""
        heads, orders = self.known
        if len(heads) + len(orders) >= self.most_places:
            heads.clear()
            orders.clear()
        rankings = rankings_of(self._fleet, self._service, client)
        candidates = candidates_of(self._fleet, self._service)
        if self.divided:
            # What a place loses depends on the region that its share likes best.
            told: list[Hashable] = [place] if candidates.spill else []
            for policy, ranking in zip(self._service.policies, rankings, strict=True):
                if policy.consults.location:
                    # What goes by both at once can only be told by the place itself.
                    told.append(place if policy.consults.share else ranking.tiers)
            orders[place] = number = self._numbered(tuple(told), client)
            return 0, number
        order = composed(self._service.regions, rankings)
        heads[place] = head = self._heads[order[0]]
        if not wholly:
            return head, 0
        # As short as can be: for every place there may be an order of its own, and they are never forgotten,
        # because answers are kept under their numbers. There are not more of them than places in a database.
        loses = reluctance(client, candidates, order[0])
        told_short = array("H", (*map(self._heads.__getitem__, order), loses)).tobytes()
        orders[place] = number = self._numbered(told_short, client)
        self._below[head][number] = None
        return head, number

    def _numbered(self, told: Hashable, client: Client) -> int:
        number = self._numbers.get(told)
        if number is None:
            number = next(self._next)
            self._clients[number] = client
            number = self._numbers.setdefault(told, number)
        return number
