"""Runs a scenario second by second: regions as they are, nodes as they see them, clients as they are told."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from random import Random

from gslb.clock import FakeClock
from gslb.fleet import Fleet, Region
from gslb.simulate.clients import NOWHERE, Resolver, gather
from gslb.simulate.demand import DemandCourse
from gslb.simulate.node import Node
from gslb.simulate.outcome import Outcome, RegionSecond, Second
from gslb.simulate.population import Member
from gslb.simulate.scenario import Event, Scenario, check_against
from gslb.simulate.shared import Shared, Word
from gslb.simulate.site import SERVERS, Site
from gslb.world import Override, OverrideKind, PoolReport, Report

EVENTFUL = 120
"""Seconds after a region was in trouble for which nobody wonders that clients are sent elsewhere: a step or
two, and the time until the last resolver has asked again."""

_POOL = "web"


def run(fleet: Fleet, scenario: Scenario, members: Iterable[Member], seed: int = 1) -> Outcome:
    """The same fleet, scenario, members and seed give the same. Raises GslbError if the scenario names what
    the fleet does not have."""
    check_against(scenario, fleet)
    return _Simulation(fleet, scenario, members, seed).run()


class _Simulation:
    def __init__(self, fleet: Fleet, scenario: Scenario, members: Iterable[Member], seed: int) -> None:
        self._fleet = fleet
        self._scenario = scenario
        self._seed = seed
        self._at = -scenario.warm_up
        self._clock = FakeClock()
        self._shared = Shared()
        self._sites = {name: Site(region) for name, region in fleet.regions.items()}
        self._by_number = tuple(self._sites.values())
        service = fleet.services[scenario.service or next(iter(fleet.services))]
        gathered = gather(fleet, service, scenario, members)
        self._clients = gathered.clients
        self._demand = DemandCourse(scenario, gathered.groups)
        served = [self._sites[name] for name in service.regions if self._sites[name].capacity < inf]
        self._requests_per_client = scenario.load * sum(site.capacity for site in served) / scenario.clients
        self._nodes = [self._node(f"ns{number + 1}") for number in range(scenario.nodes)]
        self._coming = sorted(scenario.events, key=lambda event: event.at)
        self._reports = 0
        # When each region was last known to be in trouble, by its number.
        self._eventful = [-inf] * len(self._sites)
        self._watermarks = [_watermark(site.region) for site in self._by_number]
        self._moved = self._needlessly = 0

    def _node(self, name: str) -> Node:
        return Node(
            name,
            self._fleet,
            self._clock,
            self._shared,
            lambda region: self._sites[region].answers(self._at),
            Random(f"{self._seed} {name}"),
        )

    def run(self) -> Outcome:
        self._look()
        worlds = [node.world for node in self._nodes]
        self._clients.begin(worlds, self._clock.now(), Random(f"{self._seed} phases"), self._at)
        seconds = []
        while self._at < self._scenario.duration:
            second = self._second()
            if self._at >= 0:
                seconds.append(second)
            self._at += 1
            self._clock.advance(1)
        return Outcome(
            title=self._scenario.title,
            regions=tuple(self._sites),
            clients=sum(resolver.clients for resolver in self._clients.resolvers),
            seconds=seconds,
            events=[
                (event.at, str(event)) for event in sorted(self._scenario.events, key=lambda each: each.at)
            ],
            capacities={name: site.region.capacity for name, site in self._sites.items()},
        )

    def _second(self) -> Second:
        while self._coming and self._coming[0].at <= self._at:
            self._happen(self._coming.pop(0))
        self._look()
        self._moved = self._needlessly = 0
        worlds = [node.world for node in self._nodes]
        self._clients.ask(worlds, self._clock.now(), self._at, self._notice_move)
        return self._serve()

    def _look(self) -> None:
        """Edges report the second before, and nodes probe, hear and conclude."""
        self._report()
        for node in self._nodes:
            node.probe()
        for node in self._nodes:
            node.exchange()
            node.conclude()

    def _happen(self, event: Event) -> None:
        sites = self._sites
        if event.dies is not None:
            sites[event.dies].there = False
        elif event.returns is not None:
            sites[event.returns].there = True
        elif event.servers is not None:
            sites[event.servers.region].servers = round(SERVERS * event.servers.share)
        elif event.flaps is not None:
            sites[event.flaps.region].flap(event.flaps, self._at)
        elif event.redis is not None:
            self._shared.away = event.redis == "lost"
        elif event.drain is not None:
            self._say(event.drain, OverrideKind.DRAIN)
        elif event.weight is not None:
            self._say(event.weight.region, OverrideKind.WEIGHT, event.weight.weight)
        elif event.clear is not None:
            self._sites[event.clear].word = None
            self._shared.write(Word(event.clear, None))

    def _say(self, region: str, kind: OverrideKind, weight: float | None = None) -> None:
        word = Override(region, kind, "simulation", "", self._clock.now(), weight=weight)
        self._sites[region].word = word
        self._shared.write(Word(region, word))

    def _report(self) -> None:
        self._reports += 1
        lease_end = self._clock.monotonic() + self._fleet.redis.lease
        for site in self._sites.values():
            if site.answers(self._at):
                for report in self._reports_of(site):
                    self._shared.write(report, lease_end)

    def _reports_of(self, site: Site) -> Iterable[Report]:
        """Each edge has an equal part of the region's servers and requests."""
        region, served = site.region, site.served
        for edge in region.edges:
            rate = served.requests / len(region.edges)
            yield Report(
                region=region.name,
                edge=edge.name,
                at=self._clock.now(),
                requests_per_second=rate,
                in_flight=round(rate * served.latency),
                error_rate=served.errors / served.requests if served.requests else 0.0,
                capacity=region.capacity,
                utilisation=rate / region.capacity if region.capacity else None,
                pools=tuple(
                    PoolReport(pool, site.servers, SERVERS) for pool in self._fleet.pools or (_POOL,)
                ),
                epoch=1,
                sequence=self._reports,
            )

    def _notice_move(self, resolver: Resolver, before: int, after: int) -> None:
        self._moved += resolver.clients
        if before == resolver.home and not self._is_eventful(before):
            self._needlessly += resolver.clients

    def _is_eventful(self, number: int) -> bool:
        return self._by_number[number].is_troubled(self._at) or self._at - self._eventful[number] <= EVENTFUL

    def _serve(self) -> Second:
        factors = [self._requests_per_client * factor for factor in self._demand.at(self._at)]
        flows = self._clients.flows
        regions = []
        carried = 0.0
        for number, (site, flow) in enumerate(zip(self._by_number, flows[:NOWHERE], strict=True)):
            requests = _weighed(flow.clients, factors)
            served = site.serve(requests, self._at)
            travel = _weighed(flow.travel, factors) / requests / 1e6 if requests else 0.0
            regions.append(RegionSecond(requests, served.errors, served.utilisation, travel + served.latency))
            if not site.is_taken_out:
                carried += site.carries(self._at)
            if site.is_troubled(self._at) or served.utilisation > self._watermarks[number]:
                self._eventful[number] = self._at
        unanswered = _weighed(flows[NOWHERE].clients, factors)
        asked = sum(each.requests for each in regions) + unanswered
        return Second(self._at, tuple(regions), unanswered, self._moved, self._needlessly, asked <= carried)


def _weighed(counts: list[int], factors: list[float]) -> float:
    return sum(count * factor for count, factor in zip(counts, factors, strict=True))


def _watermark(region: Region) -> float:
    """The utilisation from which on the region is expected to give clients away."""
    return 1.0 if region.bounds.spill is None else region.bounds.spill.soft
