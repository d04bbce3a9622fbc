"""Follows every place where a region's servers are found, and knows what was found there last."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping

import structlog

from edge.discovery.listing import Listing
from edge.discovery.names import AGAIN, Names
from edge.discovery.records import ByAddress, ByService
from edge.discovery.sighting import Place
from gslb.fleet import AddressRecords, Discovery, Fleet, Server, ServersFile, SocketAddress

_Where = tuple[str, Discovery]  # pool and place

_log = structlog.get_logger("edge")


class _Followed:
    """One place. servers: as they were found last. pause: seconds to the next look; None: not looked yet."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.servers: tuple[Server, ...] = ()
        self.pause: float | None = None
        self.problem = ""
        self.task: asyncio.Task[None] | None = None


class Follower:
    """Of one region. on_found: called whenever other servers are found than before.

    Places are followed from `use` to `use`. What was found there once holds until something else is found
    there; a place that is silent, empty or illegible changes nothing.
    """

    def __init__(self, region: str, on_found: Callable[[], None]) -> None:
        self._region = region
        self._on_found = on_found
        self._names = Names()
        self._resolver: tuple[SocketAddress, ...] = ()
        self._followed: dict[_Where, _Followed] = {}

    def found(self, fleet: Fleet) -> Mapping[str, tuple[Server, ...]]:
        """By pool, the servers known at the places that `fleet` declares."""
        found: dict[str, tuple[Server, ...]] = {}
        for pool, place in self._places(fleet):
            followed = self._followed.get((pool, place))
            found[pool] = found.get(pool, ()) + (followed.servers if followed is not None else ())
        return found

    async def look_ahead(self, fleet: Fleet, deadline: float) -> None:
        """Look at the places that are new in `fleet`, so that `found` has them, for at most `deadline` s."""
        if fleet.edge.resolver != self._resolver:
            self._resolver = fleet.edge.resolver
            self._names = Names(self._resolver)
            # Whoever is asked from now on, what was found holds until they have answered.
            for where, followed in self._followed.items():
                followed.place = self._place(*where)
        for where in self._places(fleet):
            if where not in self._followed:
                self._followed[where] = _Followed(self._place(*where))
        new = [each for each in self._followed.items() if each[1].pause is None and each[1].task is None]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                await asyncio.gather(*(self._look(*each) for each in new))

    def use(self, fleet: Fleet) -> None:
        """From now on follow these places, all of which were looked at ahead."""
        places = set(self._places(fleet))
        for where in [each for each in self._followed if each not in places]:
            gone = self._followed.pop(where)
            if gone.task is not None:
                gone.task.cancel()
        for where, followed in self._followed.items():
            if followed.task is None:
                followed.task = asyncio.get_running_loop().create_task(
                    self._follow(where, followed), name=f"following {where[1]}"
                )

    async def stop(self) -> None:
        tasks = [each.task for each in self._followed.values() if each.task is not None]
        self._followed.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _places(self, fleet: Fleet) -> Iterator[_Where]:
        for pool, places in fleet.regions[self._region].discovery.items():
            for place in places:
                yield pool, place

    def _place(self, pool: str, where: Discovery) -> Place:
        if isinstance(where, ServersFile):
            return Listing(where.path, self._region, pool)
        if isinstance(where, AddressRecords):
            return ByAddress(self._names, where, self._region, pool)
        return ByService(self._names, where, self._region, pool)

    async def _follow(self, where: _Where, followed: _Followed) -> None:
        while True:
            if followed.pause is not None:
                await asyncio.sleep(followed.pause)
            await self._look(where, followed)

    async def _look(self, where: _Where, followed: _Followed) -> None:
        try:
            sighting = await followed.place.look()
        except Exception:
            # A fault of ours with one place must not end the watch over it.
            _log.exception("servers could not be looked for", pool=where[0], where=str(where[1]))
            followed.pause = AGAIN
            return
        followed.pause = sighting.pause
        self._tell(where, followed, sighting.problem)
        if sighting.servers is not None and sighting.servers != followed.servers:
            followed.servers = sighting.servers
            self._on_found()

    def _tell(self, where: _Where, followed: _Followed, problem: str) -> None:
        """One line when something else is wrong than before, and one when all is well again."""
        was, followed.problem = followed.problem, problem
        said = {"pool": where[0], "where": str(where[1])}
        if problem and problem != was:
            known = len(followed.servers)
            _log.warning("servers are not found; those known stay", **said, reason=problem, known=known)
        elif was and not problem:
            _log.info("servers are found again", **said)
