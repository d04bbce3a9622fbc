"""Keeps what a process knows on its own disk, so that it can start where nobody can be asked."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from gslb.clock import Clock, duration, iso
from gslb.store.codec_memory import decode_memory, encode_memory
from gslb.store.memory import Memory

MOST_BYTES = 64 * 1024 * 1024
"""A file that is larger is not one of ours, and no larger one is written."""

PAUSE = 3.0
"""Seconds from one saving to the next, however much changes."""

REFRESH = 60.0
"""Seconds after which it is saved although nothing has changed: its moment tells how old it is."""

_log = structlog.get_logger(__name__)


class DiskCopy:
    """A file of one process, which nobody else writes. It is always whole, the old one or the new one.

    A copy that cannot be read is none, and one that cannot be written is missed at the next start: neither
    keeps a process from its work. Each is one line in the log.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._writing = threading.Lock()
        # Who knows more saves later.
        self._in_turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._failing = False

    @property
    def path(self) -> Path:
        return self._path

    def load(self) -> Memory | None:
        """What was saved last; None if there is nothing that can be read."""
        try:
            with self._path.open("rb") as file:
                text = file.read(MOST_BYTES + 1)
            if len(text) > MOST_BYTES:
                raise ValueError(f"it is larger than {MOST_BYTES} bytes")
            memory = decode_memory(text)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _log.warning(
                "the copy of what was known cannot be used", file=str(self._path), problem=_problem(error)
            )
            return None
        age = duration(self._clock.now() - memory.at)
        _log.info("what was known before is known again", file=str(self._path), at=iso(memory.at), age=age)
        return memory

    def save(self, memory: Memory) -> bool:
        """Put it in place of what was saved before; whether that went well. For any thread."""
        with self._writing:
            try:
                text = encode_memory(memory)
                if len(text) > MOST_BYTES:
                    raise ValueError(f"it would be larger than {MOST_BYTES} bytes")
                self._replace(text)
            except (OSError, ValueError) as error:
                if not self._failing:
                    _log.warning(
                        "what is known cannot be saved", file=str(self._path), problem=_problem(error)
                    )
                self._failing = True
                return False
            self._failing = False
            return True

    def _replace(self, text: bytes) -> None:
        folder = self._path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._path.with_name(self._path.name + ".new")
        # Gone first: whoever put it there must not choose its mode, or where it leads.
        new.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def note_change(self) -> None:
        """There is something to save; for the event loop's thread."""
        self._changed.set()

    async def keep(self, memory: Callable[[], Memory]) -> None:
        """Save what `memory` returns, soon after every change."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH):
                    await self._changed.wait()
            self._changed.clear()
            await self.save_now(memory)
            await asyncio.sleep(PAUSE)

    async def save_now(self, memory: Callable[[], Memory]) -> None:
        """Save what `memory` returns; it is on disk then, or a line in the log says why not."""
        async with self._in_turn:
            await asyncio.to_thread(self.save, memory())


def _problem(error: Exception) -> str:
    return os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
