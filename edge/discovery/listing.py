"""Finds servers in a file that somebody else writes, and notices when it has changed."""

from __future__ import annotations

import asyncio

from edge.discovery.sighting import Sighting
from gslb.config.servers_file import read_servers
from gslb.config.textfile import signature
from gslb.errors import ConfigError
from gslb.watched import WatchedFiles

LOOK_EVERY = 1.0
"""Seconds between looks; a change counts when the file is the same at the look after."""


class Listing:
    """One file, for one pool of a region."""

    def __init__(self, path: str, region: str, pool: str) -> None:
        self._path = path
        self._region = region
        self._pool = pool
        self._watched: WatchedFiles | None = None
        self._last = Sighting(None, LOOK_EVERY)

    async def look(self) -> Sighting:
        """What the file says; a file with an error in it says nothing."""
        self._last = await asyncio.to_thread(self._look)
        return self._last

    def _look(self) -> Sighting:
        if self._watched is None:
            self._watched = WatchedFiles([self._path])
        elif not self._watched.have_changed():
            return self._last
        # As it was at first: if it changes while it is read, that is a change.
        read = {self._path: signature(self._path)}
        try:
            servers = read_servers(self._path, self._region, self._pool)
        except ConfigError as error:
            return Sighting(None, LOOK_EVERY, str(error))
        finally:
            self._watched.use(read)
        return Sighting(servers, LOOK_EVERY)
