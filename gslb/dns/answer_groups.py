"""Questions whose answers are the same bytes after the question, put together, so as to be made once."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass
from itertools import count

from gslb.dns.name import Name
from gslb.dns.packing import Packed
from gslb.dns.ready import Ready
from gslb.dns.reply import Reply
from gslb.fleet import Fleet, Service
from gslb.policy.base import Client, Consults
from gslb.policy.decision import service_consults
from gslb.policy.intake import coarse_share
from gslb.policy.preferences import FEWEST_PLACES, MOST_PLACES, ORDER, Preferences
from gslb.world import World

Question = tuple[Name, int]
"""A name in lower case and a type, of the class IN."""

NO_SHARE = 1 << 12
"""Stands in a key for the share of clients when it does not matter; one more than there are."""

SHARE_BITS = 0x1FFF

NEVER = float("inf")


def outcome_key(group: int, level: int, rank: int, share: int) -> int:
    """What an answer depends on beside the world, in 64 bits; the compiled loop has the same."""
    return group << 38 | level << 37 | rank << 13 | share


def deeper_key(group: int, order: int, share: int) -> int:
    """Of an outcome that depends on the client's part as well, when that of its order tells too little.

    order: its rank; 0 where no place is looked at.
    """
    return outcome_key(group, ORDER, order, coarse_share(share))


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Services that are asked for under their own names share one, if they differ in nothing that an answer
    shows; every other question that leads to a service has its own. service: any of them.

    apart: whether it is for a single service, of which an operator has said something.
    preferences: None where no policy goes by the client's place. keys: of the outcomes that are kept, if the
    group is a question's own; they go with it.
    """

    number: int
    service: Service
    preferences: Preferences | None
    consults: Consults
    keys: set[int] | None = None
    apart: bool = False

    def answers_for(self, service: str, apart: Collection[str]) -> bool:
        """Whether answers made for a question for `service` are this group's. apart: those set apart."""
        return self.keys is not None or self.apart or service not in apart


@dataclass(frozen=True, slots=True)
class Entry:
    """What a question leads to: a group's answers, counted for `service`."""

    group: Group
    service: str


class Outcome:
    """The answer to all clients of one key, in the world as it is; `packed` is None where the key does not
    tell enough: where a head does not, the order has to be looked at, and where that does not, the part that
    the client is in (see `deeper_key`).

    question, client, service: of one that it was made for, and can be made for again. looked_at: the regions
    that it follows from. shrinks_at: the moment (seconds since 1970) from which its TTL is too long. ends:
    from when on it may not be given any more; earlier than that when the world has changed. ready: what plain
    Python makes of `packed` when it first repeats it.
    """

    __slots__ = ("client", "ends", "looked_at", "packed", "question", "ready", "service", "shrinks_at")

    def __init__(
        self,
        packed: Packed | None,
        question: Question,
        client: Client,
        looked_at: tuple[str, ...],
        service: str,
    ) -> None:
        self.packed = packed
        self.question = question
        self.client = client
        self.looked_at = looked_at
        self.service = service
        self.ready: Ready | None = None
        shrinks_at = packed.shrinks_at if packed is not None else None
        self.ends = self.shrinks_at = NEVER if shrinks_at is None else shrinks_at


class Groups:
    """Of one fleet; they outlive every world."""

    def __init__(self, fleet: Fleet, before: Groups | None = None) -> None:
        """before: those of another fleet, whose preferences still hold where nothing has changed that they
        depend on; only if the places are told by the same locator."""
        self._fleet = fleet
        self._before = before
        self._numbers = count(1)
        self._preferences_numbers: Iterator[int] = (
            before._preferences_numbers if before is not None else count(1)
        )
        self._groups: dict[Hashable, Group] = {}
        # Services of which operators have said something have groups of their own, from then on.
        self.apart: frozenset[str] = frozenset()
        self._preferences: dict[Hashable, Preferences] = {}
        self.by_number: dict[int, Group] = {}

    @property
    def preferences(self) -> tuple[Preferences, ...]:
        """All that there are."""
        return tuple(self._preferences.values())

    def entry(self, question: Question, reply: Reply) -> Entry | None:
        """What `question` leads to, which `reply` answers; None where that is no decision."""
        if reply.decision is None or reply.decided_at is None:
            return None
        name, rtype = question
        service = self._fleet.services[reply.decision.service]
        if reply.decided_at == name and not service.hostname_regions(self._fleet.regions):
            return Entry(self._shared(service, rtype), service.name)
        return Entry(self._find(question, service, own=True), service.name)

    def moved(self, question: Question, entry: Entry) -> Entry:
        """What `question` leads to, which led to `entry` before services may have been set apart."""
        if entry.group.answers_for(entry.service, self.apart):
            return entry
        service = self._fleet.services[entry.service]
        return Entry(self._shared(service, question[1]), entry.service)

    def _shared(self, service: Service, rtype: int) -> Group:
        """That of all questions of a type for services under their own names that differ in nothing."""
        apart = service.name in self.apart
        key = (*_shown(service), rtype, service.name if apart else "")
        return self._find(key, service, apart=apart)

    def _find(self, key: Hashable, service: Service, *, own: bool = False, apart: bool = False) -> Group:
        group = self._groups.get(key)
        if group is None:
            group = self._groups.setdefault(key, self._group(service, own, apart))
            self.by_number[group.number] = group
        return group

    def forget(self, question: Question, entry: Entry | Packed) -> None:
        """Of a question that is not kept any more: its group, if it has one to itself."""
        if isinstance(entry, Entry) and self._groups.get(question) is entry.group:
            del self._groups[question], self.by_number[entry.group.number]

    def _group(self, service: Service, own: bool, apart: bool) -> Group:
        consults = service_consults(service)
        preferences: Preferences | None = None
        if consults.location:
            key = (service.policies, service.regions)
            preferences = self._preferences.get(key)
            if preferences is None:
                preferences = self._preferences.setdefault(key, self._preferences_of(key, service))
                self._share_places_out()
        return Group(next(self._numbers), service, preferences, consults, set() if own else None, apart)

    def _preferences_of(self, key: Hashable, service: Service) -> Preferences:
        before = self._before
        if before is not None:
            known = before._preferences.get(key)
            was, now = before._fleet.regions, self._fleet.regions
            if known is not None and all(was[name] == now[name] for name in service.regions):
                known.belong_to(self._fleet, service)
                return known
        return Preferences(next(self._preferences_numbers), self._fleet, service)

    def _share_places_out(self) -> None:
        preferences = self.preferences
        for each in preferences:
            each.most_places = max(FEWEST_PLACES, MOST_PLACES // len(preferences))

    def set_apart(self, world: World) -> frozenset[str]:
        """The services that need groups of their own from this world on, and did not before it."""
        said_of = {name for state in world.regions.values() for name in state.overrides}
        new = frozenset(said_of & self._fleet.services.keys()) - self.apart
        self.apart |= new
        return new

    def let_go(self) -> None:
        """Of what was before; what was taken over stays."""
        self._before = None


def _shown(service: Service) -> tuple[Hashable, ...]:
    """All of a service that its answers follow from, but for its name."""
    return (
        service.policies,
        service.regions,
        service.ttl,
        service.all_down,
        service.answers,
        service.pools,
    )
