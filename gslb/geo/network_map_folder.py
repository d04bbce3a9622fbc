"""Where network maps lie from one start to the next: what one process made, the next one reads."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import structlog

from gslb.geo.network_map import Tables
from gslb.geo.network_map_file import Origin, UnusableMapError, file_size, read_map, write_map

AUTO = "auto"
"""The value of `geo.cache` that stands for the folder which the system provides."""

MOST_FILES = 4
MOST_BYTES = 1 << 30
"""Of all maps in a folder. The one used last stays, the others go in the order in which they were used."""

_PREFIX, _SUFFIX, _UNFINISHED = "networks-", ".map", ".tmp"
_ABANDONED = 3600  # seconds after which nobody writes an unfinished file any more
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH

_log = structlog.get_logger()


def folder_of(cache: str | None, environment: Mapping[str, str] = os.environ) -> MapFolder | None:
    """The folder that the setting `geo.cache` means; None when maps are not to be kept.

    AUTO is what systemd made for this service (the first of CACHE_DIRECTORY), else the user's cache folder.
    """
    if cache is None:
        return None
    if cache != AUTO:
        return MapFolder(Path(cache))
    provided = environment.get("CACHE_DIRECTORY", "").split(":")[0]
    if provided:
        return MapFolder(Path(provided))
    caches = Path(environment.get("XDG_CACHE_HOME", ""))
    if not caches.is_absolute():  # such a value is to be ignored, says the XDG specification
        home = environment.get("HOME", "")
        if not Path(home).is_absolute():
            return None
        caches = Path(home, ".cache")
    return MapFolder(caches / "gslb")


class MapFolder:
    """A folder of network maps, named by what they were made of; several processes may share it.

    Neither to load nor to keep a map ever fails: what goes wrong is worth a line in the log, and the map is
    made anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, origin: Origin) -> Tables | None:
        """The map that was made of this origin, if it is there and sound."""
        path = self._path_of(origin)
        try:
            with _opened(path) as file:
                tables = read_map(file, os.fstat(file.fileno()).st_size, origin)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None  # there is nothing for us; if nothing can be put there either, `keep` will tell
        except (UnusableMapError, OSError, ValueError, MemoryError) as error:
            _log.warning("a network map on disk is ignored", path=str(path), error=_text(error))
            return None
        with suppress(OSError):
            os.utime(path)
        return tables

    def keep(self, origin: Origin, tables: Tables) -> None:
        """Write the map beside its place and then move it there: a reader never meets half of it.

        What a crash of the machine leaves of it is told by its checksum, so nothing waits for the disk.
        """
        path = self._path_of(origin)
        try:
            if file_size(tables) > MOST_BYTES:
                raise OSError(f"it is larger than {MOST_BYTES} bytes")
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._beside(path) as file:
                write_map(file, tables, origin.key)
            self._tidy(path)
        except (OSError, ValueError) as error:
            _log.warning("the network map is not kept on disk", path=str(path), error=_text(error))

    def _path_of(self, origin: Origin) -> Path:
        return self.path / f"{_PREFIX}{origin.key.hex()}{_SUFFIX}"

    @contextmanager
    def _beside(self, path: Path) -> Iterator[BinaryIO]:
        """A file that only we can read and write; it becomes `path` when all went well."""
        descriptor, name = tempfile.mkstemp(_UNFINISHED, _PREFIX, self.path)
        try:
            with open(descriptor, "wb") as file:
                yield file
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise

    def _tidy(self, kept: Path) -> None:
        """Remove maps beyond what is to be kept, and what processes that died left unfinished."""
        now = kept.stat().st_mtime
        maps: list[tuple[float, int, Path]] = []
        for path in self.path.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                status = path.stat()
                if path.suffix == _UNFINISHED and status.st_mtime < now - _ABANDONED:
                    path.unlink()
                elif path.suffix == _SUFFIX and path != kept:
                    maps.append((status.st_mtime, status.st_size, path))
        files, size = 1, kept.stat().st_size
        for _, more, path in sorted(maps, reverse=True):
            files, size = files + 1, size + more
            if files > MOST_FILES or size > MOST_BYTES:
                with suppress(OSError):
                    path.unlink()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Raises OSError, and UnusableMapError when somebody else may have written the file."""
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UnusableMapError("it is no file")
        if status.st_uid not in (os.geteuid(), 0) or status.st_mode & _OTHERS_MAY_WRITE:
            raise UnusableMapError("others than this user can write it")
        yield file


def _without_waiting(path: str, flags: int) -> int:
    """What lies there may be a pipe, and nobody at its other end."""
    return os.open(path, flags | os.O_NONBLOCK)


def _text(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or "no memory"
