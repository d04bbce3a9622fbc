"""Servers with several processes: how they end as a whole, and what CPU time and memory all of them use."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from processes import UnavailableError, cpu_seconds, pin, running


@contextmanager
def serving(
    command: Sequence[str], log: Path, core: int, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A server as by `processes.running`, none of whose descendants is left when the block ends."""
    with ExitStack() as left_behind, running(command, log, core, environment=environment) as process:
        try:
            yield process
        finally:
            for member in family(process.pid)[1:]:
                with suppress(ProcessLookupError):
                    left_behind.callback(_end, os.pidfd_open(member))


def _end(descriptor: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Memory:
    """In MB of a million bytes. rss: what is in RAM, shared pages counted for each process; pss: once."""

    rss: float
    pss: float

    def beyond(self, before: Memory) -> Memory:
        return Memory(self.rss - before.rss, self.pss - before.pss)


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                # The name, which stands in brackets, may hold anything.
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for member in found:
        found += children.get(member, ())
    return found


class Meter:
    """User and system time of a process and its descendants, from now on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = _cpu_of_each(pid)

    def seconds(self) -> float:
        """So far; raises UnavailableError when a process has come or gone, and its time with it."""
        now = _cpu_of_each(self._pid)
        if now.keys() != self._before.keys():
            raise UnavailableError("its processes came and went")
        return sum(now.values()) - sum(self._before.values())


def _cpu_of_each(pid: int) -> dict[int, float]:
    found = {}
    for member in family(pid):
        with suppress(OSError):
            found[member] = cpu_seconds(member)
    return found


def pin_all(pid: int, core: int) -> None:
    """Have a process and its descendants run on one core from now on."""
    for member in family(pid):
        pin(member, core)


def memory_of_all(pid: int) -> Memory:
    """Of a process and its descendants."""
    sums = {"Rss:": 0, "Pss:": 0}
    for member in family(pid):
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()[1:]:
            name, kilobytes = line.split()[:2]
            if name in sums:
                sums[name] += int(kilobytes)
    return Memory(sums["Rss:"] * 1024 / 1e6, sums["Pss:"] * 1024 / 1e6)
