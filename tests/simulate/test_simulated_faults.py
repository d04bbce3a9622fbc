"""A day of faults, drawn by chance, for nodes with worlds of their own, and what must hold all day."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import combinations
from random import Random

import pytest

from gslb.clock import FakeClock
from gslb.policy.decision import decide
from gslb.simulate.node import Node
from gslb.simulate.shared import Shared, Word
from gslb.world import Override, OverrideKind, PoolReport, Report, Verdict

DAY = 24 * 3600
TICK = 15
"""Seconds; nodes do what is due, and hear of each other, no sooner."""

REGIONS = ("us-east", "eu-west", "eu-central", "ap-south")
INTERVAL = 15.0
LEASE = 45.0
POLL = 3
"""Ticks after which a node reads everything, whatever it missed."""

AGREE_WITHIN = LEASE + POLL * TICK + TICK
"""Seconds for which two nodes that both reach Redis may differ on whether a region is eligible: what one has
not heard it reads with the next poll, and one that was cut off holds what it knew for a lease of grace."""

SEEDS = range(1, 3)
MORE_SEEDS = range(3, 3 + int(os.environ.get("GSLB_SIMULATED_DAYS", "20")))


class Day:
    """Three nodes, four regions, and faults that come and go."""

    def __init__(self, fleet, members, seed):
        self.random = Random(f"faults {seed}")
        regions = {
            name: replace(fleet.regions[name], check=replace(fleet.regions[name].check, interval=INTERVAL))
            for name in REGIONS
        }
        (service,) = fleet.services.values()
        self.service = replace(service, regions=REGIONS)
        self.fleet = replace(
            fleet,
            regions=regions,
            services={service.name: self.service},
            redis=replace(fleet.redis, lease=LEASE),
        )
        self.clients = [member.client for member in self.random.sample(list(members), 3)]
        self.clock = FakeClock()
        self.shared = Shared()
        # Who is gone for everybody, what single nodes cannot see, and until when each fault lasts.
        self.gone = set()
        self.unseen = set()
        self.ends = []
        self.nodes = [self._node(f"ns{number}", seed) for number in (1, 2, 3)]
        self.reports = 0
        # Since when each pair of nodes has differed on a region, and reached Redis.
        self.apart = {}
        self.linked_since = dict.fromkeys([node.name for node in self.nodes], self.clock.monotonic())
        # Of each node the regions as it saw them last, and which of them were eligible.
        self.seen = dict.fromkeys(self.linked_since)
        self.eligible = {}
        self.downs = self.words = self.decisions = 0

    def _node(self, name, seed):
        def answers(region):
            return region not in self.gone and (name, region) not in self.unseen

        return Node(name, self.fleet, self.clock, self.shared, answers, Random(f"{seed} {name}"))

    def run(self):
        for tick in range(DAY // TICK):
            self.end_faults()
            if self.random.random() < 0.02:
                self.begin_fault()
            self.report()
            for node in self.nodes:
                node.probe()
            for node in self.nodes:
                self.exchange(node, tick)
                node.conclude()
            for node in self.nodes:
                if self.seen[node.name] is not node.world.regions:
                    self.seen[node.name] = node.world.regions
                    self.look_at(node)
                    self.check_decisions(node)
            self.check_agreement()
            self.clock.advance(TICK)

    def end_faults(self):
        now = self.clock.monotonic()
        for end, undo in [each for each in self.ends if each[0] <= now]:
            undo()
            self.ends.remove((end, undo))

    def begin_fault(self):
        random = self.random
        region = random.choice(list(self.fleet.regions))
        node = random.choice(self.nodes)
        length = random.choice((30, 60, 180, 600, 1800))
        fault = random.choice(("gone", "unseen", "cut off", "redis", "word"))
        if fault == "gone":
            self.gone.add(region)
            undo = lambda: self.gone.discard(region)  # noqa: E731
        elif fault == "unseen":
            self.unseen.add((node.name, region))
            undo = lambda: self.unseen.discard((node.name, region))  # noqa: E731
        elif fault == "cut off":
            node.cut_off = True
            undo = lambda: setattr(node, "cut_off", False)  # noqa: E731
        elif fault == "redis":
            self.shared.away = True
            undo = lambda: setattr(self.shared, "away", False)  # noqa: E731
        else:
            undo = self.say(region)
        self.ends.append((self.clock.monotonic() + length, undo))

    def say(self, region):
        kind = self.random.choice((OverrideKind.DRAIN, OverrideKind.FORCED_UP, OverrideKind.WEIGHT))
        weight = 0.3 if kind is OverrideKind.WEIGHT else None
        self.words += 1
        self.shared.write(
            Word(region, Override(region, kind, "operator", "", self.clock.now(), weight=weight))
        )
        return lambda: self.shared.write(Word(region, None))

    def report(self):
        self.reports += 1
        for number, (name, region) in enumerate(self.fleet.regions.items()):
            if name in self.gone:
                continue
            # Some regions are full at some hours, and have servers that are ill.
            hour = (self.clock.monotonic() / 3600 + 3 * number) % 24
            rate = region.capacity * (0.4 + 0.5 * (hour < 6))
            self.shared.write(
                Report(
                    region=name,
                    edge=region.edges[0].name,
                    at=self.clock.now(),
                    requests_per_second=rate,
                    in_flight=10,
                    error_rate=0.0,
                    capacity=region.capacity,
                    utilisation=rate / region.capacity,
                    pools=(PoolReport("web", 1 if 8 < hour < 8.5 else 10, 10),),
                    epoch=1,
                    sequence=self.reports,
                ),
                self.clock.monotonic() + LEASE,
            )

    def exchange(self, node, tick):
        """Now and then a node is late, or what it was told is lost; the poll makes good for both."""
        fate = self.random.random()
        if (tick + len(node.name)) % POLL == 0:
            self.shared.forget(node.name)
        elif fate < 0.05:
            return
        elif fate < 0.1 and node.reaches_redis:
            list(self.shared.read(node.name, self.clock.monotonic()))
        node.exchange()

    def check_agreement(self):
        now = self.clock.monotonic()
        for node in self.nodes:
            if not node.reaches_redis:
                self.linked_since[node.name] = now
        for one, other in combinations(self.nodes, 2):
            linked = max(self.linked_since[one.name], self.linked_since[other.name])
            for region in self.fleet.regions:
                pair = one.name, other.name, region
                if (region in self.eligible[one.name]) == (region in self.eligible[other.name]):
                    self.apart.pop(pair, None)
                else:
                    since = max(self.apart.setdefault(pair, now), linked)
                    assert now - since <= AGREE_WITHIN, (
                        pair,
                        one.world.region(region),
                        other.world.region(region),
                    )

    def look_at(self, node):
        states = node.world.regions.values()
        self.downs += sum(state.verdict is Verdict.DOWN for state in states)
        self.eligible[node.name] = {
            state.region for state in states if state.eligible_for(self.service.name, self.service.pools)
        }

    def check_decisions(self, node):
        for client in self.clients:
            decision = decide(self.fleet, self.service, client, node.world, self.clock.now())
            self.decisions += 1
            standing = [name in self.eligible[node.name] for name in decision.order]
            assert sorted(decision.order) == sorted(self.fleet.regions)
            assert standing == sorted(standing, reverse=True), (decision.order, standing)
            assert decision.chosen == decision.order[0]
            assert decision.addresses
            assert decision.ttl >= self.service.ttl.minimum
            for ranked in decision.ranked:
                assert any(reason.startswith(ranked.region) for reason in ranked.reasons), ranked


def check_day(fleet, members, seed):
    day = Day(fleet, members, seed)
    day.run()
    # The day was one on which something happened.
    assert day.downs > 50
    assert day.words > 5
    assert day.decisions > 1000


@pytest.mark.parametrize(
    "seed", [SEEDS[0], *(pytest.param(each, marks=pytest.mark.long) for each in SEEDS[1:])]
)
def test_a_day_of_faults(shipped_fleet, members, seed):
    check_day(shipped_fleet, members, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", MORE_SEEDS)
def test_many_days_of_faults(shipped_fleet, members, seed):
    check_day(shipped_fleet, members, seed)
