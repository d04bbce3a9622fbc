"""Clients by the resolvers that they ask through: where each was sent, and until when that is remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from random import Random

from gslb.fleet import Fleet, Service
from gslb.geo.distance import distance
from gslb.policy.base import Client
from gslb.policy.decision import Decision, decide
from gslb.simulate.population import Member
from gslb.simulate.scenario import Scenario, Where
from gslb.world import RegionState, World

_KILOMETRES_PER_SECOND = 100_000
"""That a request goes there and back: light in fibre, and that by detours."""

_ASKS_AGAIN_AFTER = 5
"""Seconds after which a resolver asks again that got no answer."""

EVERYBODY_WELL = World(0.0, {})
"""In which everybody is sent where policies alone would send him."""

NOWHERE = -1
"""The number of no region."""


class Resolver:
    """One place's clients behind one cache.

    node: which one it asks. group: with whom its demand changes. home, region: numbers of regions, NOWHERE
    for none: which one it likes best, and where its clients go now. travel: microseconds of a request's way.
    """

    __slots__ = (
        "basis",
        "client",
        "clients",
        "group",
        "home",
        "node",
        "region",
        "shrinks_at",
        "travel",
        "ttl",
    )

    def __init__(self, client: Client, clients: int, node: int, group: int, home: int) -> None:
        self.client = client
        self.clients = clients
        self.node = node
        self.group = group
        self.home = home
        self.region = NOWHERE
        self.travel = 0
        self.ttl = 0
        self.shrinks_at: float | None = None
        # What its last answer followed from: while that is the same, so is the answer.
        self.basis: tuple[tuple[str, RegionState], ...] = ()


@dataclass(slots=True)
class Flow:
    """Sums over the clients that go to a region, by group: whole numbers, so that no error gathers.

    travel: microseconds of a client's way, of all clients together.
    """

    clients: list[int]
    travel: list[int]


_node = attrgetter("node")


class Clients:
    """All of them, and who goes where. at: whole seconds from the beginning."""

    def __init__(self, fleet: Fleet, service: Service, resolvers: Sequence[Resolver], groups: int) -> None:
        self._fleet = fleet
        self._service = service
        self._numbers = {name: number for number, name in enumerate(fleet.regions)}
        self._names = tuple(fleet.regions)
        self.resolvers = resolvers
        # By region, and last those who go nowhere: NOWHERE is their index.
        self.flows = [Flow([0] * groups, [0] * groups) for _ in range(len(self._names) + 1)]
        self._due: dict[int, list[Resolver]] = {}
        self._distances: dict[tuple[int, int], int] = {}
        for resolver in resolvers:
            self.flows[NOWHERE].clients[resolver.group] += resolver.clients

    def begin(self, worlds: Sequence[World], now: float, random: Random, at: int) -> None:
        """Everybody asks, as if they had asked at some time before, each at another."""
        for resolver in sorted(self.resolvers, key=_node):
            self._ask(resolver, worlds[resolver.node], now)
            self._due.setdefault(at + 1 + int(random.random() * resolver.ttl), []).append(resolver)

    def ask(
        self, worlds: Sequence[World], now: float, at: int, moved: Callable[[Resolver, int, int], None]
    ) -> None:
        """Those whose answers are over ask again. moved: told of each that is sent elsewhere, from and to."""
        due = self._due.pop(at, [])
        # Node by node: what follows from a world is remembered of the latest one only.
        due.sort(key=_node)
        for resolver in due:
            world = worlds[resolver.node]
            if not self._still_holds(resolver, world, now):
                before = resolver.region
                self._ask(resolver, world, now)
                if resolver.region != before:
                    moved(resolver, before, resolver.region)
            self._due.setdefault(at + resolver.ttl, []).append(resolver)

    @staticmethod
    def _still_holds(resolver: Resolver, world: World, now: float) -> bool:
        states = world.regions
        if resolver.shrinks_at is not None and now >= resolver.shrinks_at:
            return False
        return bool(resolver.basis) and all(states[name] is state for name, state in resolver.basis)

    def _ask(self, resolver: Resolver, world: World, now: float) -> None:
        decision = decide(self._fleet, self._service, resolver.client, world, now)
        self._send(resolver, self._first(decision))
        resolver.ttl = max(1, decision.ttl) if decision.chosen is not None else _ASKS_AGAIN_AFTER
        resolver.shrinks_at = decision.shrinks_at
        resolver.basis = tuple([(name, world.regions[name]) for name in decision.looked_at])

    def _first(self, decision: Decision) -> int:
        """The region that clients try first, which with rotation is not the one that comes first in order."""
        for answering in decision.answering.values():
            if answering:
                return self._numbers[answering[0].region]
        return NOWHERE if decision.chosen is None else self._numbers[decision.chosen]

    def _send(self, resolver: Resolver, region: int) -> None:
        if region == resolver.region:
            return
        clients, group = resolver.clients, resolver.group
        left, joined = self.flows[resolver.region], self.flows[region]
        left.clients[group] -= clients
        left.travel[group] -= clients * resolver.travel
        resolver.region, resolver.travel = region, self._travel(resolver.client, region)
        joined.clients[group] += clients
        joined.travel[group] += clients * resolver.travel

    def _travel(self, client: Client, region: int) -> int:
        here = client.location.coordinates
        if region == NOWHERE or here is None:
            return 0
        key = id(client.location), region
        travel = self._distances.get(key)
        if travel is None:
            kilometres = distance(here, self._fleet.regions[self._names[region]].coordinates)
            travel = self._distances[key] = round(1e6 * kilometres / _KILOMETRES_PER_SECOND)
        return travel


@dataclass(frozen=True, slots=True)
class Gathered:
    """groups: for each, whom of the scenario's events it is among."""

    clients: Clients
    groups: tuple[frozenset[Where], ...]


def gather(fleet: Fleet, service: Service, scenario: Scenario, members: Iterable[Member]) -> Gathered:
    """The scenario's clients behind as many resolvers as there are members."""
    wheres = [event.demand.where for event in scenario.events if event.demand is not None]
    numbers = {name: number for number, name in enumerate(fleet.regions)}
    groups: dict[frozenset[Where], int] = {}
    resolvers = []
    owed = 0.0
    for place, member in enumerate(members):
        # What rounding takes from one is given to the next: together they are as many as they should be.
        owed += member.weight * scenario.clients
        clients = round(owed)
        owed -= clients
        if clients:
            home = decide(fleet, service, member.client, EVERYBODY_WELL, 0.0).order[0]
            among = frozenset(where for where in wheres if concerns(where, member, home))
            group = groups.setdefault(among, len(groups))
            node = place % scenario.nodes
            resolvers.append(Resolver(member.client, clients, node, group, numbers[home]))
    return Gathered(Clients(fleet, service, resolvers, len(groups)), tuple(groups))


def concerns(where: Where, member: Member, home: str) -> bool:
    """Whether an event that tells of `where` is about this member, whose home is given."""
    location = member.client.location
    return (
        where.continent in (None, location.continent)
        and where.country in (None, member.country)
        and where.region in (None, home)
    )
