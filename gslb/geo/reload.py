"""Keeps the current Locator: replaced database files are taken up, broken ones are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import structlog

from gslb.aside import aside
from gslb.errors import GeoError
from gslb.fleet import GeoSettings
from gslb.geo.database import Database, Signature
from gslb.geo.location import IPNetwork
from gslb.geo.locator import Locator

_log = structlog.get_logger()


class LocatorSource:
    """Holds `current`, and swaps it whole. A Locator that was current stays usable by those who hold it.

    Files may be replaced by renaming or by writing in place: they are read into memory once, and a file
    that is half written is refused as broken until it changes again.

    While `watch` runs, every new Locator gets its network map, aside; until then it answers without.
    """

    current: Locator

    def __init__(self, settings: GeoSettings, networks: Sequence[IPNetwork] = ()) -> None:
        """Open everything at once. Raises GeoError: a node should not start on a broken database."""
        self._settings = settings
        self._networks = tuple(networks)
        self._refused: dict[str, Signature | None] = {}
        self._callbacks: list[Callable[[Locator], None]] = []
        self._changing = asyncio.Lock()
        self._swapped = asyncio.Event()
        self.current = Locator(settings, networks)

    def subscribe(self, callback: Callable[[Locator], None]) -> None:
        """Have `callback` called with every new Locator, in the event loop, after the swap."""
        self._callbacks.append(callback)

    async def watch(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look for replaced files every `settings.poll` seconds, and map the networks of what is current.

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
        """Look once; whether a new Locator was swapped in. Never raises for what is wrong with a file."""
        async with self._changing:
            changed = False
            opened: dict[str, Database] = {}
            for database in self.current.databases:
                fresh = await asyncio.to_thread(self._replacement, database)
                opened[database.path] = fresh or database
                changed = changed or fresh is not None
            if changed:
                self._swap(await asyncio.to_thread(self._locator, self._settings, self._networks, opened))
            return changed

    async def map_networks(self) -> bool:
        """Give the current Locator its network map; whether it has one. Never raises for what is in a file.

        Given up as soon as another Locator is current, or when cancelled.
        """
        locator, wanted = self.current, True
        if locator.network_map is not None:
            return True
        try:
            if not await aside(lambda: locator.map_networks(lambda: wanted and locator is self.current)):
                return False
        except (GeoError, MemoryError) as error:
            _log.warning(
                "no network map, look-ups go on in the geo databases", error=str(error) or "no memory"
            )
            return False
        finally:
            wanted = False
        _tell_of(locator)
        return True

    async def _keep_mapped(self) -> None:
        while True:
            self._swapped.clear()
            try:
                await self.map_networks()
            except Exception:
                with suppress(Exception):
                    _log.exception("mapping the networks failed; look-ups go on in the geo databases")
            await self._swapped.wait()

    @asynccontextmanager
    async def prepared(
        self, settings: GeoSettings, networks: Sequence[IPNetwork]
    ) -> AsyncIterator[Callable[[], None]]:
        """Make ready for a changed fleet; what is yielded makes it so, at once and without I/O.

        The subscribers are not told: who changes the fleet has more to swap than this. Files that are open
        already are not read again, and none is taken up meanwhile. Raises GeoError when a database cannot be
        used. Then, or when what is yielded is not called, everything stays as it was.
        """
        async with self._changing:
            wanted = tuple(networks)
            if (replace(settings, poll=self._settings.poll), wanted) == (self._settings, self._networks):
                locator = self.current
            else:
                opened = {database.path: database for database in self.current.databases}
                locator = await asyncio.to_thread(self._locator, settings, wanted, opened)

            def use() -> None:
                self._settings, self._networks, self.current = settings, wanted, locator
                self._swapped.set()

            yield use

    @staticmethod
    def _locator(
        settings: GeoSettings, networks: Sequence[IPNetwork], opened: dict[str, Database]
    ) -> Locator:
        return Locator(settings, networks, opened=opened)

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
        for callback in self._callbacks:
            try:
                callback(locator)
            except Exception:
                _log.exception("a subscriber failed over new geo databases")
        for described in locator.describe():
            _log.info("geo database in use", path=described.path, type=described.type, built=described.built)


def _tell_of(locator: Locator) -> None:
    network_map = locator.network_map
    if network_map is not None:
        spans = {"ipv4": len(network_map.ipv4), "ipv6": len(network_map.ipv6)}
        size = network_map.ipv4.size + network_map.ipv6.size
        _log.info("networks mapped", **spans, megabytes=round(size / 1e6, 1))
