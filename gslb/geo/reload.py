"""Keeps the current Locator and its map: replaced database files are taken up, broken ones are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import structlog

from gslb.errors import GeoError
from gslb.fleet import GeoSettings
from gslb.geo.database import Database, Signature
from gslb.geo.location import IPNetwork
from gslb.geo.locator import Locator
from gslb.geo.network_map_folder import folder_of
from gslb.geo.network_map_source import NetworkMapSource

_log = structlog.get_logger()


class LocatorSource:
    """Holds `current`, and swaps it whole. A Locator that was current stays usable by those who hold it.

    Files may be replaced by renaming or by writing in place: they are read into memory once, and a file
    that is half written is refused as broken until it changes again.

    Network maps: the first one is there at once if it is found on disk, else as soon as it is made while
    `watch` runs. From then on a Locator has its map before it becomes current, however long that takes,
    unless it can have none.
    """

    current: Locator

    def __init__(self, settings: GeoSettings, networks: Sequence[IPNetwork] = ()) -> None:
        """Open everything at once. Raises GeoError: a node should not start on a broken database."""
        self._settings = settings
        self._networks = tuple(networks)
        self._maps = NetworkMapSource(folder_of(settings.cache))
        self._refused: dict[str, Signature | None] = {}
        self._callbacks: list[Callable[[Locator], None]] = []
        self._changing = asyncio.Lock()
        self._swapped = asyncio.Event()
        self.current = Locator(settings, networks)
        self._maps.find(self.current)

    def subscribe(self, callback: Callable[[Locator], None]) -> None:
        """Have `callback` called, in the event loop, with every new Locator after the swap.

        It is called again with the same Locator when that gets its network map only then: the first one after
        the start, and one whose predecessor had none.
        """
        self._callbacks.append(callback)

    async def watch(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look for replaced files every `settings.poll` seconds, and see to the map of what is current.

        Until cancelled; nothing else ends it.
        """
        mapping = asyncio.create_task(self._keep_mapped(), name="network map")
        try:
            while True:
                await pause(self._settings.poll)
                try:
                    await self.check()
                except Exception:
                    # Whatever it is may pass. Even telling of it may fail, with a log set up elsewhere.
                    with suppress(Exception):
                        _log.exception("looking for replaced geo databases failed; it is tried again")
        finally:
            mapping.cancel()
            await asyncio.wait([mapping])

    async def check(self) -> bool:
        """Look once; whether a new Locator was swapped in. Never raises for what is wrong with a file.

        Where there is a map, the new one is made first; files that are replaced meanwhile count instead.
        """
        async with self._changing:
            fresh = await self._renewed(self.current)
            if fresh is None:
                return False
            if self.current.network_map is not None:
                fresh = await self._mapped(fresh)
            self._swap(fresh)
            return True

    async def map_networks(self) -> bool:
        """Give the current Locator its network map; whether it has one. Never raises for what is in a file.

        Given up as soon as another Locator is current, or when cancelled.
        """
        locator = self.current
        if locator.network_map is not None:
            return True
        if not await self._maps.map(locator, wanted=lambda: locator is self.current):
            return False
        if locator is self.current:
            self._tell_subscribers()
        return True

    async def _keep_mapped(self) -> None:
        while True:
            self._swapped.clear()
            try:
                await self.map_networks()
                await self._maps.keep(self.current)
            except Exception:
                with suppress(Exception):
                    _log.exception("mapping the networks failed; look-ups go on in the geo databases")
            await self._swapped.wait()

    async def _mapped(self, locator: Locator) -> Locator:
        """This Locator with its map, if it can have one; or the next one, when files are replaced again."""
        while True:
            newer: Locator | None = None
            mapping = asyncio.create_task(self._maps.map(locator, self.current), name="next network map")
            try:
                while newer is None and not mapping.done():
                    _, unfinished = await asyncio.wait([mapping], timeout=self._settings.poll)
                    newer = await self._renewed(locator) if unfinished else None
            finally:
                mapping.cancel()
                await asyncio.wait([mapping])
            if newer is None:
                return locator
            locator = newer

    @asynccontextmanager
    async def prepared(
        self, settings: GeoSettings, networks: Sequence[IPNetwork]
    ) -> AsyncIterator[tuple[Locator, Callable[[], None]]]:
        """Make ready for a changed fleet; yields its Locator, and what makes it so, at once and without I/O.

        The subscribers are not told: who changes the fleet has more to swap than this. Files that are open
        already are not read again, and none is taken up meanwhile. Raises GeoError when a database cannot be
        used. Then, or when the second is not called, everything stays as it was.

        Where there is a map, the new Locator has its own when this yields; that may take many seconds, the
        more so while new databases are mapped.
        """
        async with self._changing:
            wanted = tuple(networks)
            located = replace(settings, poll=self._settings.poll, cache=self._settings.cache)
            if (located, wanted) == (self._settings, self._networks):
                locator = self.current
            else:
                opened = {database.path: database for database in self.current.databases}
                locator = await asyncio.to_thread(self._locator, settings, wanted, opened)
                if self.current.network_map is not None:
                    await self._maps.map(locator, self.current)

            def use() -> None:
                if settings.cache != self._settings.cache:
                    self._maps = NetworkMapSource(folder_of(settings.cache))
                self._settings, self._networks, self.current = settings, wanted, locator
                self._swapped.set()

            yield locator, use

    @staticmethod
    def _locator(
        settings: GeoSettings, networks: Sequence[IPNetwork], opened: dict[str, Database]
    ) -> Locator:
        return Locator(settings, networks, opened=opened)

    async def _renewed(self, locator: Locator) -> Locator | None:
        """The Locator that comes after this one, if the files of its databases have been replaced."""
        opened: dict[str, Database] = {}
        for database in locator.databases:
            fresh = await asyncio.to_thread(self._replacement, database)
            opened[database.path] = fresh or database
        if all(opened[database.path] is database for database in locator.databases):
            return None
        return await asyncio.to_thread(self._locator, self._settings, self._networks, opened)

    def _replacement(self, database: Database) -> Database | None:
        """The file's new state, if there is one and it is sound. One log line for each that is not."""
        signature: Signature | None = None
        try:
            signature = Signature.of(database.path)
            if signature == database.signature or signature == self._refused.get(database.path):
                return None
            fresh = Database(database.path)
        except GeoError as error:
            if database.path not in self._refused or self._refused[database.path] != signature:
                _log.warning("geo database refused, the old one stays", path=database.path, error=str(error))
            self._refused[database.path] = signature
            return None
        self._refused.pop(database.path, None)
        return fresh

    def _swap(self, locator: Locator) -> None:
        self.current = locator
        self._swapped.set()
        self._tell_subscribers()
        for described in locator.describe():
            _log.info("geo database in use", path=described.path, type=described.type, built=described.built)

    def _tell_subscribers(self) -> None:
        for callback in self._callbacks:
            try:
                callback(self.current)
            except Exception:
                _log.exception("a subscriber failed over new geo databases")
