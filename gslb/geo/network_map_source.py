"""Where the network map of a Locator comes from: from another Locator, from disk, or from the databases."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import structlog

from gslb.aside import aside
from gslb.errors import GeoError
from gslb.geo.locator import Locator
from gslb.geo.network_map_file import Origin
from gslb.geo.network_map_folder import MapFolder

_log = structlog.get_logger()


class NetworkMapSource:
    """Maps networks, and keeps what it made in a folder, if it has one."""

    def __init__(self, folder: MapFolder | None) -> None:
        self._folder = folder
        self._kept: Origin | None = None
        self._failed: Locator | None = None

    def find(self, locator: Locator, another: Locator | None = None) -> bool:
        """Take the map of `another`, if it has one of the same origin, or that on disk; whether there is one.

        Reading takes a fraction of a second, for large databases up to one.
        """
        maps = another.network_map if another is not None else None
        if maps is None and self._folder is None:
            return False
        origin = locator.origin()
        if another is not None and maps is not None and another.origin() == origin:
            locator.use_tables(maps.tables)
            _tell_of(locator, "as before")
        elif self._folder is not None and (tables := self._folder.load(origin)) is not None:
            locator.use_tables(tables)
            self._kept = origin
            _tell_of(locator, "read from disk")
        return locator.network_map is not None

    async def map(
        self, locator: Locator, another: Locator | None = None, wanted: Callable[[], bool] = lambda: True
    ) -> bool:
        """Find or make the map of a Locator, aside; whether it has one. Given up when cancelled.

        wanted: asked every few milliseconds. Whatever fails costs a line in the log and is not raised; when
        it is tried again at once with the same Locator, it costs nothing.
        """
        if locator is self._failed:
            return False
        self._failed, cancelled = None, False

        def work() -> bool:
            if self.find(locator, another):
                return True
            if not locator.map_networks(lambda: not cancelled and wanted()):
                return False
            _tell_of(locator, "made")
            return True

        try:
            return await aside(work)
        except Exception as error:
            self._failed = locator
            with suppress(Exception):
                _tell_of_failure(error)
            return locator.network_map is not None
        finally:
            cancelled = True

    async def keep(self, locator: Locator) -> None:
        """Have the map of a Locator on disk, if it has one and there is a folder; written aside.

        What fails there costs a line in the log, and is not tried again with the same map.
        """
        if self._folder is not None and locator.network_map is not None:
            folder, tables = self._folder, locator.network_map.tables

            def work() -> None:
                origin = locator.origin()
                if origin != self._kept:
                    self._kept = origin
                    folder.keep(origin, tables)

            await aside(work)


def _tell_of(locator: Locator, how: str) -> None:
    network_map = locator.network_map
    if network_map is not None:
        spans = {"ipv4": len(network_map.ipv4), "ipv6": len(network_map.ipv6)}
        size = network_map.ipv4.size + network_map.ipv6.size
        tell = _log.debug if how == "read from disk" else _log.info
        tell("networks mapped", how=how, **spans, megabytes=round(size / 1e6, 1))


def _tell_of_failure(error: Exception) -> None:
    if isinstance(error, (GeoError, MemoryError)):
        text = str(error) or "no memory"
        _log.warning("no network map, look-ups go on in the geo databases", error=text)
    else:
        _log.error("mapping the networks failed; look-ups go on in the geo databases", exc_info=error)
