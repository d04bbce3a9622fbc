"""The demo tries itself out: everything that the tour tells a newcomer to do, and a few disasters."""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import redis.asyncio
import redis.exceptions

from gslb.clock import SystemClock, iso
from gslb.demo.client import ask
from gslb.demo.load import get
from gslb.demo.server_checks import LOOK_AGAIN, PATIENCE, CheckError, ServerChecks
from gslb.demo.tour import EUROPE, JAPAN
from gslb.demo.world import DemoWorld
from gslb.errors import GslbError
from gslb.fleet import Edge, Region
from gslb.store import keys
from gslb.store.oneshot import clear_override, set_override
from gslb.world import Override, OverrideKind

CLIENTS = {
    "London": EUROPE,
    "Tokyo": JAPAN,
    "New York": "128.122.0.0/16",
    "São Paulo": "143.107.0.0/16",
    "Johannesburg": "146.141.0.0/16",
    "Sydney": "129.78.0.0/16",
    "Frankfurt": "141.2.0.0/16",
    "Mumbai": "14.139.96.0/24",
}
"""Networks of universities and carriers that have stood where they stand for decades."""


@dataclass
class Check:
    """One run; every step raises GslbError when it does not see what it should."""

    world: DemoWorld
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self.fleet = self.world.fleet
        self.server = self.world.nodes[0][0].listen[0]
        self.service = next(iter(self.fleet.services))
        self.by_answer = {
            str(address): region
            for region in self.fleet.regions.values()
            for edge in region.edges
            for address in edge.addresses
        }
        self.by_answer.update(
            (f"{region.hostname}.", region) for region in self.fleet.regions.values() if region.hostname
        )

    async def region_for(self, subnet: str) -> str:
        """The region that the DNS node answers a client network with."""
        answers = await asyncio.to_thread(ask, self.server, self.service, subnet=subnet)
        if not answers or answers[0] not in self.by_answer:
            raise CheckError(f"{self.service} is answered with {answers}, which belongs to no region")
        return self.by_answer[answers[0]].name

    async def clients_go_to_regions(self) -> None:
        seen = set()
        for place, subnet in CLIENTS.items():
            region = await self.region_for(subnet)
            seen.add(region)
            self.say(f"  {place:<13} {subnet:<17} → {region}")
        if len(seen) < min(2, len(self.fleet.regions)):
            raise CheckError("clients all over the world are sent to one region")

    async def requests_reach_servers(self) -> None:
        for subnet in (EUROPE, JAPAN):
            region = await self.region_for(subnet)
            if not self.fleet.regions[region].edges:
                self.say(f"  {region} is somebody else's and is not asked")
                continue
            edge = self.fleet.regions[region].edges[0]
            for path in ("/products/1", "/cart", "/checkout"):
                served_by = await asyncio.to_thread(self._fetch, edge, path)
                if not served_by.startswith(f"{region}/"):
                    raise CheckError(f"a request to {region} was served by {served_by}")
                self.say(f"  {path:<12} at {edge.addresses[0]} → {served_by}")

    def _fetch(self, edge: Edge, path: str) -> str:
        status, headers = get(next(iter(edge.probe.values())), self.service, path)
        if status != 200:
            raise CheckError(f"{edge.name} answers {path} with status {status}")
        return headers.get("X-Origin", "")

    async def drain_moves_clients(self) -> None:
        home = await self.region_for(EUROPE)
        clock = SystemClock()
        override = Override(home, OverrideKind.DRAIN, "the demo's check", "trying it out", clock.now())
        await set_override(self.fleet, clock, override)
        elsewhere, took = await self._moved(home, away=True)
        self.say(f"  {home} drained: London goes to {elsewhere} after {took * 1000:.0f} ms")
        await clear_override(self.fleet, clock, home, by="the demo's check")
        _, took = await self._moved(home, away=False)
        self.say(f"  {home} cleared: London is back after {took * 1000:.0f} ms")

    async def _moved(self, home: str, *, away: bool) -> tuple[str, float]:
        """Ask until London is sent away from (or back to) `home`; where to, and how long it took."""
        began = time.monotonic()
        while (took := time.monotonic() - began) < PATIENCE:
            region = await self.region_for(EUROPE)
            if (region != home) is away:
                return region, took
            await asyncio.sleep(LOOK_AGAIN)
        raise CheckError(f"after {PATIENCE:.0f} s London is still sent to the same region")

    async def redis_is_readable(self) -> None:
        client = redis.asyncio.Redis.from_url(self.world.redis_url, decode_responses=True)
        try:
            region = next(region for region in self.fleet.regions.values() if region.edges)
            edge = region.edges[0]
            node = self.world.nodes[0][0]
            for key in (
                keys.observation(edge.target(edge.addresses[0]), node.name),
                keys.report(region.name, edge.name),
            ):
                fields = await client.hgetall(key)
                if not fields:
                    raise CheckError(f"{key} is not in Redis")
                self.say(f"  {key}")
                self.say("    " + " ".join(f"{name!s}={value!r}" for name, value in fields.items()))
        finally:
            await client.aclose()

    def of_servers(self, step: Callable[[ServerChecks], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """A step of the second tier, at the region that London is sent to."""

        async def check() -> None:
            home = self.fleet.regions[await self.region_for(EUROPE)]
            if not home.edges:
                self.say(f"  {home.name} is somebody else's and is left alone")
                return
            await step(ServerChecks(self.world, self.say, self.service, home.edges[0]))

        return check

    async def a_region_dies_and_returns(self) -> None:
        home = await self.region_for(EUROPE)
        region = self.fleet.regions[home]
        if not region.edges:
            self.say(f"  {home} is somebody else's and is left alone")
            return
        for edge, child in self.world.edges:
            if edge.region == home:
                child.kill()
        elsewhere, took = await self._moved(home, away=True)
        self.say(f"  {home} lost: London goes to {elsewhere} after {took:.2f} s{self._promise(region)}")
        await self.world.restart_ended()
        _, took = await self._moved(home, away=False)
        self.say(f"  {home} started again: London is back after {took:.2f} s")

    def _promise(self, region: Region) -> str:
        promised = region.check.interval * region.check.fall + 1
        return f" (promised within {promised:g} s)"

    async def redis_dies_and_no_answer_is_lost(self) -> None:
        self.world.redis.kill()
        asked = 0
        until = time.monotonic() + 3
        while time.monotonic() < until:
            for subnet in CLIENTS.values():
                await self.region_for(subnet)
                asked += 1
        self.say(f"  Redis killed: {asked} questions in 3 s, all answered")
        await self.world.restart_ended()
        client = redis.asyncio.Redis.from_url(self.world.redis_url, decode_responses=True)
        try:
            began = time.monotonic()
            edge = self.world.edges[0][0]
            key = keys.report(edge.region, edge.name)
            while not await client.exists(key):
                if time.monotonic() - began > PATIENCE:
                    raise CheckError(f"{key} did not come back to Redis")
                await asyncio.sleep(LOOK_AGAIN)
            took = time.monotonic() - began
            self.say(f"  Redis started empty: filled again after {took:.1f} s, by {iso(time.time())}")
        finally:
            await client.aclose()


async def check_world(world: DemoWorld, say: Callable[[str], None]) -> bool:
    """Run every step; tells what happens, and returns whether all went well."""
    check = Check(world, say)
    steps: list[tuple[str, Callable[[], Awaitable[None]]]] = [
        ("Clients are sent to the nearest region", check.clients_go_to_regions),
        ("Requests reach the servers of that region", check.requests_reach_servers),
        ("A drained region gets no new clients", check.drain_moves_clients),
        ("Redis shows what is known", check.redis_is_readable),
        (
            "Each path is balanced in its own way",
            check.of_servers(ServerChecks.paths_are_balanced_each_in_its_way),
        ),
        ("A killed server costs no request", check.of_servers(ServerChecks.a_killed_server_costs_no_request)),
        ("Operators cost no request", check.of_servers(ServerChecks.operators_cost_no_request)),
        (
            "Without a server, requests go on to the next region",
            check.of_servers(ServerChecks.requests_spill_over_and_come_home),
        ),
        ("A lost region's clients go to the next nearest", check.a_region_dies_and_returns),
        ("Without Redis, answers go on", check.redis_dies_and_no_answer_is_lost),
    ]
    for what, step in steps:
        say(f"{what}:")
        try:
            await step()
        except (GslbError, OSError, http.client.HTTPException, redis.exceptions.RedisError) as error:
            say(f"  FAILED: {error}")
            return False
    say("All is as it should be.")
    return True
