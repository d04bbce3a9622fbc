"""What the DNS benchmark measures with: compiled programs, running servers, CPU time, and statistics."""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from statistics import median

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
from servers import Server, UnavailableError, program
from world import ZONE, Sample

STARTING = 30.0
"""Seconds that a server has to begin to answer."""

_HERE = Path(__file__).parent
_PORTS = range(20_000, 30_000)
_TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_CLIENT_COOKIE = bytes.fromhex("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Cores:
    """Which CPU core the measured server has, and which one the generator; the same where there is one."""

    server: int
    generator: int

    @classmethod
    def of_this_machine(cls) -> Cores:
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[-1])


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator asks. names: how many different ones. cookie: of the option, empty for none."""

    names: int
    outstanding: int
    cookie: bytes = b""


@dataclass(frozen=True, slots=True)
class Round:
    """cpu_us: CPU microseconds of the server per answer. unexpected: answers to nothing that was asked.

    bad: of the answers that were looked into (checked), those with an error or without an address.
    """

    cpu_us: float
    answers_per_second: float
    sent: int
    answered: int
    lost: int
    unexpected: int
    checked: int
    bad: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Of several rounds: medians, the least and the most."""

    cpu_us: float
    cpu_us_least: float
    cpu_us_most: float
    answers_per_second: float
    lost: int
    sent: int
    faults: int

    @classmethod
    def of(cls, rounds: Sequence[Round]) -> Summary:
        costs = [each.cpu_us for each in rounds]
        return cls(
            median(costs),
            min(costs),
            max(costs),
            median(each.answers_per_second for each in rounds),
            sum(each.lost for each in rounds),
            sum(each.sent for each in rounds),
            sum(each.unexpected + each.bad for each in rounds),
        )


@dataclass
class Entrant:
    """A server that runs. rounds: by workload. cookie: what it gave us; empty if it gives none."""

    server: Server
    version: str
    process: subprocess.Popen[bytes]
    port: int
    cookie: bytes = b""
    rounds: dict[str, list[Round]] = field(default_factory=dict)


def compiled(name: str, folder: Path) -> Path:
    """Compile `name`.c into `folder`; raises UnavailableError without a compiler."""
    target = folder / name
    command = [program("gcc", "gcc"), "-O2", "-std=c11", "-Wall", "-o", str(target), str(_HERE / f"{name}.c")]
    subprocess.run(command, check=True, timeout=60)
    return target


def free_port() -> int:
    """A port of the loopback that nobody has, for UDP and TCP alike."""
    # Below the ephemeral ports, from which any program may get one before the server binds it.
    for port in random.sample(_PORTS, len(_PORTS)):
        with suppress(OSError), ExitStack() as stack:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                stack.enter_context(socket.socket(socket.AF_INET, kind)).bind(("127.0.0.1", port))
            return port
    raise UnavailableError(f"no port from {_PORTS.start} to {_PORTS.stop} is free")


@contextmanager
def running(command: Sequence[str], log: Path, core: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server in the foreground, on one core, for as long as the block runs; its output goes to `log`."""
    libc = ctypes.CDLL(None)

    def settle() -> None:
        os.sched_setaffinity(0, {core})
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # also a benchmark that is killed leaves nothing behind

    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=settle
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


def wait_until_it_answers(process: subprocess.Popen[bytes], port: int, sample: Sample, log: Path) -> None:
    """Return as soon as anything comes back; raises UnavailableError if the server ends or stays silent."""
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(dns.exception.DNSException, OSError):
            ask(port, f"www.{ZONE}", sample.network, timeout=0.5)
            return
        time.sleep(0.05)
    last = " / ".join(log.read_text(errors="replace").strip().splitlines()[-2:]) or "it said nothing"
    raise UnavailableError(f"it did not begin to answer: {last[-300:]}")


def ask(port: int, name: str, network: IPv4Network, timeout: float = 1.0) -> dns.message.Message:
    """The answer that clients in `network` get; raises dns.exception.Timeout for none."""
    options: list[dns.edns.Option] = [
        dns.edns.ECSOption(str(network.network_address), network.prefixlen),
        dns.edns.GenericOption(dns.edns.OptionType.COOKIE, _CLIENT_COOKIE),
    ]
    query = dns.message.make_query(name, "A", options=options)
    query.flags &= ~dns.flags.RD
    return dns.query.udp(query, "127.0.0.1", timeout=timeout, port=port)


def wrong_answers(port: int, names: Sequence[str], samples: Sequence[Sample]) -> list[str]:
    """Ask for every sample by one of the names; a sentence for each answer that is not as expected."""
    wrong = []
    for number, sample in enumerate(samples):
        name = f"{names[number % len(names)]}.{ZONE}"
        try:
            message = ask(port, name, sample.network)
        except dns.exception.DNSException as error:
            wrong.append(f"{name} for {sample.network}: {type(error).__name__}")
            continue
        addresses = [record.to_text() for rrset in message.answer for record in rrset]
        if message.rcode() != dns.rcode.NOERROR or addresses != [sample.expected]:
            got = ", ".join(addresses) or dns.rcode.to_text(message.rcode())
            wrong.append(f"{name} for {sample.network}: {got}, and not {sample.expected}")
    return wrong


def cookie_of(port: int, sample: Sample) -> bytes:
    """The whole cookie that the server gives to us; empty if it gives none."""
    for option in ask(port, f"www.{ZONE}", sample.network).options:
        if option.otype == dns.edns.OptionType.COOKIE:
            return bytes(option.to_wire() or b"")
    return b""


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process so far."""
    # The name, which stands in brackets, may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def measured(entrant: Entrant, generator: Path, load: Load, seconds: float, seed: int, cores: Cores) -> Round:
    """One round of `load`; raises UnavailableError when the server answers nothing."""
    command = [str(part) for part in (generator, entrant.port, seconds, load.names, load.outstanding, seed)]
    command += [str(int(entrant.server.answers)), load.cookie.hex() or "-"]
    before = cpu_seconds(entrant.process.pid)
    shown = subprocess.run(
        command,
        capture_output=True,
        check=True,
        timeout=seconds + 30,
        preexec_fn=lambda: os.sched_setaffinity(0, {cores.generator}),
    )
    spent = cpu_seconds(entrant.process.pid) - before
    told = json.loads(shown.stdout)
    if not told["answered"]:
        raise UnavailableError("it answered nothing")
    return Round(
        spent * 1e6 / told["answered"],
        told["answered"] / told["seconds"],
        *(told[key] for key in ("sent", "answered", "lost", "unexpected", "checked", "bad")),
    )
