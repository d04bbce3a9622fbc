"""Child processes of the demo: started in the guardian's group, watched, and ended together."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gslb.errors import GslbError

GRACE = 8.0
"""Seconds that processes have to end by themselves after SIGTERM."""

INSISTENCE = 0.2
"""Seconds between the first SIGTERM and a second one, at which an edge no longer waits to be seen leaving."""

_GUARDIAN = Path(__file__).with_name("guardian.py")


@dataclass
class Child:
    """One process; it may be started again after it has ended, with the same command."""

    name: str
    command: Sequence[str]
    log: Path
    process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Of the process now running, or of the last one; 0 before the first start."""
        return self.process.pid if self.process is not None else 0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    def ending(self) -> str:
        """How the process ended, in words."""
        status = self.process.returncode if self.process is not None else None
        if status is None:
            return "is running" if self.process is not None else "was never started"
        if status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def last_words(self, lines: int = 5) -> str:
        """The end of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


@dataclass
class Processes:
    """All children. Whatever happens to this process, the guardian ends them with it."""

    directory: Path
    on_end: Callable[[Child], None]
    children: list[Child] = field(default_factory=list)
    _guardian: subprocess.Popen[bytes] | None = None
    _watchers: set[asyncio.Task[None]] = field(default_factory=set)
    _stopping: bool = False

    def add(self, name: str, command: Sequence[str]) -> Child:
        """Declare a child; `start` runs it."""
        file_name = name.replace("/", "-").replace(":", "-")
        child = Child(name, tuple(command), self.directory / f"{file_name}.log")
        self.children.append(child)
        return child

    async def start(self, child: Child) -> None:
        """Run a child that is not running; its output goes to its log. Raises GslbError."""
        if self._guardian is None:
            command = [sys.executable, "-I", "-S", str(_GUARDIAN)]
            self._guardian = subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0)  # noqa: ASYNC220
        with child.log.open("ab") as log:
            try:
                child.process = await asyncio.create_subprocess_exec(
                    *child.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    process_group=self._guardian.pid,
                )
            except OSError as error:
                raise GslbError(f"cannot run {child.command[0]}: {error.strerror}") from None
        watcher = asyncio.create_task(self._watch(child, child.process))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _watch(self, child: Child, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        if not self._stopping:
            self.on_end(child)

    def _terminate(self) -> None:
        for child in reversed(self.children):
            if child.running and child.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    child.process.terminate()

    async def stop(self) -> None:
        """End all children: SIGTERM, the last started first; then what is left, through the guardian."""
        self._stopping = True
        self._terminate()
        await asyncio.sleep(INSISTENCE)
        self._terminate()
        if self._watchers:
            await asyncio.wait(self._watchers, timeout=GRACE)
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.close()
            await asyncio.to_thread(self._guardian.wait)
        if self._watchers:
            await asyncio.wait(self._watchers, timeout=GRACE)
