"""The processes around a measurement: compiled programs, servers on their cores, and what they use."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import redis

from gslb.demo.redis_server import find_server_binary, server_command
from gslb.errors import GslbError

IDLE = 0.2
"""The share of a core below which a server has settled; to probe a thousand regions takes half of that."""

_PORTS = range(20_000, 30_000)
_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class UnavailableError(Exception):
    """Something cannot be measured here; one sentence says why."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which CPU core the measured server has, and which one all else; the same where there is one."""

    server: int
    generator: int

    @classmethod
    def of_this_machine(cls) -> Cores:
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[-1])


def tell(progress: str) -> None:
    """Say how far it is; results alone go to the standard output."""
    print(progress, file=sys.stderr, flush=True)


def program(name: str, package: str) -> str:
    """The path of an installed program; raises UnavailableError that names the Debian package."""
    found = shutil.which(name) or shutil.which(name, path=":".join(_SYSTEM_FOLDERS))
    if found is None:
        raise UnavailableError(f"{name} is not installed (Debian: apt-get install {package})")
    return found


def compiled(source: Path, folder: Path) -> Path:
    """Compile a C file into `folder`; raises UnavailableError without a compiler."""
    target = folder / source.stem
    command = [program("gcc", "gcc"), "-O2", "-std=c11", "-Wall", "-o", str(target), str(source)]
    subprocess.run(command, check=True, timeout=60)
    return target


def pin(pid: int, core: int) -> None:
    """Have all threads of a process run on one core from now on."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), {core})


def free_port() -> int:
    """A port of the loopback that nobody has, for UDP and TCP alike."""
    # Below the ephemeral ports, from which any program may get one before the server binds it.
    for port in random.sample(_PORTS, len(_PORTS)):
        with suppress(OSError), ExitStack() as stack:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                stack.enter_context(socket.socket(socket.AF_INET, kind)).bind(("127.0.0.1", port))
            return port
    raise UnavailableError(f"no port from {_PORTS.start} to {_PORTS.stop} is free")


def die_with_parent() -> None:
    """For a process that is being started: a benchmark that is killed leaves nothing behind either."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def running(
    command: Sequence[str], log: Path, *cores: int, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server in the foreground, on these cores, for as long as the block runs; its output goes to `log`.

    environment: of the server, beside ours.
    """

    def settle() -> None:
        os.sched_setaffinity(0, cores)
        die_with_parent()

    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=settle,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def redis_server(folder: Path, core: int) -> Iterator[str]:
    """A Redis-compatible server of our own, by its URL; raises UnavailableError without one."""
    try:
        binary = find_server_binary()
    except GslbError as missing:
        raise UnavailableError(f"{missing.message} ({missing.hint})") from None
    port = free_port()
    with running(server_command(binary, port=port, directory=folder), folder / "redis.log", core) as process:
        deadline = time.monotonic() + 15
        with redis.Redis(host="127.0.0.1", port=port) as client:
            while True:
                try:
                    client.ping()
                    break
                except redis.RedisError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise UnavailableError("the Redis-compatible server does not start") from None
                    time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def accepting() -> Iterator[int]:
    """A port of the loopback where every TCP connection is accepted, for health checks to find."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        thread = threading.Thread(target=accept, name="accepting", daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def end_of(log: Path) -> str:
    """The last words of a server, for a sentence on why it is skipped."""
    said = log.read_text(errors="replace").strip().splitlines()
    return (" / ".join(said[-2:]) or "it said nothing")[-300:]


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process so far."""
    # The name, which stands in brackets, may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_megabytes(pid: int) -> float:
    """Memory of a process that is in RAM (VmRSS), in MB of a million bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def dropped_datagrams(port: int) -> int:
    """Datagrams for which the sockets at this UDP port had no room."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return sum(int(line.split()[-1]) for line in lines if line.split()[1].endswith(f":{port:04X}"))


def settled(pid: int, most: float) -> bool:
    """Wait until a process has nothing more to do for its start, such as a network map; False if it goes on.

    most: seconds.
    """
    deadline = time.monotonic() + most
    quiet = 0
    while quiet < 3 and time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(0.25)
        quiet = quiet + 1 if cpu_seconds(pid) - before < IDLE * 0.25 else 0
    return quiet == 3
