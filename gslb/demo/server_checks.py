"""The demo tries its second tier out: methods, servers that die, operators at work, and the next region."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from gslb.clock import SystemClock
from gslb.demo.load import Load, get
from gslb.demo.world import DemoWorld
from gslb.errors import GslbError
from gslb.fleet import BalancingMethod, Edge, Route, Server, ServerMode, SocketAddress, SpillOver
from gslb.server_change import ServerChange
from gslb.store.oneshot import change_server, clear_server

PATIENCE = 30.0
LOOK_AGAIN = 0.02

_TURNS = 10  # rounds by which shares are counted
_SECOND = 200  # requests, as the load has them


class CheckError(GslbError):
    """Something is not as the demo promises."""


@dataclass
class ServerChecks:
    """Of one edge's region, by the paths of `service`; every step raises CheckError when it fails."""

    world: DemoWorld
    say: Callable[[str], None]
    service: str
    edge: Edge

    def _routes(self) -> list[Route]:
        """One for each pool that has several servers here."""
        servers = self.world.fleet.regions[self.edge.region].servers
        routes: dict[str, Route] = {}
        for route in self.world.fleet.routes:
            if route.host in (self.service, None) and len(servers.get(route.pool, ())) > 1:
                routes.setdefault(route.pool, route)
        return list(routes.values())

    def _servers(self, route: Route) -> tuple[Server, ...]:
        return self.world.fleet.regions[self.edge.region].servers[route.pool]

    def _first(self) -> Route:
        routes = self._routes()
        if not routes:
            raise CheckError(f"no pool of {self.edge.region} has several servers")
        return routes[0]

    async def paths_are_balanced_each_in_its_way(self) -> None:
        for route in self._routes():
            method = self.world.fleet.pools[route.pool].method
            servers = {server.target: server.weight for server in self._servers(route)}
            asked = _TURNS * sum(servers.values())
            seen = Counter([await asyncio.to_thread(self._origin, route.path) for _ in range(asked)])
            self.say(f"  {route.path:<12} {method.name}: {', '.join(map(str, sorted(seen.values())))}")
            if method.name is BalancingMethod.WEIGHTED_ROUND_ROBIN:
                expected = {name: _TURNS * weight for name, weight in servers.items()}
                if any(abs(seen[name] - count) > 1 for name, count in expected.items()):
                    raise CheckError(f"{route.path} is not divided by weights: {dict(seen)}")
            elif method.uses(BalancingMethod.IP_HASH) and len(seen) > 1:
                raise CheckError(f"{route.path} sends one client to {len(seen)} servers")

    async def a_killed_server_costs_no_request(self) -> None:
        route = self._first()
        server = self._servers(route)[0]
        child = next(child for each, child in self.world.servers if each == server)
        with self._load(route) as load:
            await until(lambda: server.target in load.servers, "the server gets no request")
            child.kill()
            await self._more(load, 2 * _SECOND)
            await self.world.restart_ended()
            load.servers.clear()
            await until(lambda: server.target in load.servers, "the server gets no request any more")
        self._none_failed(load, f"{server.target} killed and started again")

    async def operators_cost_no_request(self) -> None:
        """Drain, weigh, remove, add, and take it all back."""
        route = self._first()
        server, *others = self._servers(route)
        new = next((each for each in self._everywhere() if each.pool != route.pool), None)
        with self._load(route) as load:
            for done, change in (
                ("drained", replace(_word(server), mode=ServerMode.DRAIN)),
                ("removed", replace(_word(server), removed=True)),
            ):
                await self._change(change)
                await self._gone(load, server.target, done)
                await self._clear(server)
                await until(lambda: server.target in load.servers, f"what was {done} does not come back")
            await self._change(replace(_word(others[0]), weight=10))
            await self._more(load, _SECOND)
            if new is not None:
                added = Server(server.region, server.pool, new.address)
                await self._change(replace(_word(added), added=True))
                await until(lambda: new.target in load.servers, "an added server gets no request")
                await self._clear(added)
                await self._gone(load, new.target, "taken away again")
            await self._clear(others[0])
        self._none_failed(load, f"{server.pool}: a server drained, removed, another weighed, a third added")

    def _everywhere(self) -> list[Server]:
        servers = self.world.fleet.regions[self.edge.region].servers
        return [server for pool in servers.values() for server in pool]

    async def _gone(self, load: Load, target: str, done: str) -> None:
        """Until a second's requests pass it by."""

        async def passed_by() -> bool:
            load.servers.clear()
            await self._more(load, _SECOND)
            return target not in load.servers

        began = time.monotonic()
        while not await passed_by():
            if time.monotonic() - began > PATIENCE:
                raise CheckError(f"{target} was {done}, and still gets requests")

    async def _change(self, change: ServerChange) -> None:
        await change_server(self.world.fleet, SystemClock(), change)

    async def _clear(self, server: Server) -> None:
        await clear_server(self.world.fleet, SystemClock(), _word(server))

    async def requests_spill_over_and_come_home(self) -> None:
        pools = self.world.fleet.pools
        route = next(
            (each for each in self._routes() if pools[each.pool].spill_over is not SpillOver.OFF), None
        )
        if route is None:
            self.say("  no pool spills over")
            return
        here = self.edge.region
        with self._load(route) as load:
            await until(lambda: load.regions[here] > 0, "the region does not answer")
            for server, child in self.world.servers:
                if (server.region, server.pool) == (here, route.pool):
                    child.kill()
            began = time.monotonic()
            await until(lambda: len(load.regions) > 1, "no request goes on to another region")
            took = time.monotonic() - began
            elsewhere = next(region for region in load.regions if region != here)
            await self.world.restart_ended()
            load.regions.clear()
            await until(lambda: load.regions[here] > _SECOND // 4, "requests do not come home")
        told = (
            f"all of {here}'s servers of {route.pool} killed: {elsewhere} answers after {took * 1000:.0f} ms"
        )
        self._none_failed(load, f"{told}, and they come home")

    def _origin(self, path: str) -> str:
        status, headers = get(self._address, self.service, path)
        if status != 200:
            raise CheckError(f"{self.edge.name} answers {path} with status {status}")
        return headers.get("X-Origin", "")

    @property
    def _address(self) -> SocketAddress:
        return next(iter(self.edge.probe.values()))

    def _load(self, route: Route) -> Load:
        return Load(self._address, self.service, route.path, rate=_SECOND)

    async def _more(self, load: Load, requests: int) -> None:
        before = load.answered
        await until(lambda: load.answered >= before + requests, "requests are not answered")

    def _none_failed(self, load: Load, what: str) -> None:
        if load.failures:
            raise CheckError(f"{what}: {len(load.failures)} requests failed, the first: {load.failures[0]}")
        self.say(f"  {what}: no request failed")


def _word(server: Server) -> ServerChange:
    """An operator's word on a server, which still has to say something."""
    since = SystemClock().now()
    return ServerChange(server.region, server.pool, server.address, by="the demo's check", since=since)


async def until(seen: Callable[[], bool], otherwise: str) -> None:
    """Wait for it; raises CheckError after PATIENCE seconds."""
    began = time.monotonic()
    while not seen():
        if time.monotonic() - began > PATIENCE:
            raise CheckError(otherwise)
        await asyncio.sleep(LOOK_AGAIN)
