"""What the edge benchmark measures with: rounds of load, what they cost the server, and statistics."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from asking import SMALL
from processes import UnavailableError, die_with_parent
from trees import Meter

PATIENCE = 10.0
"""Seconds at the end of a round for what is under way."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator asks. expect: bytes of the response's body; upload: of the request's.

    rate: requests a second, 0 for as many as are answered. once: a new connection for every request.
    """

    connections: int
    path: str = "/small"
    expect: int = SMALL
    upload: int = 0
    rate: float = 0
    varied: bool = False
    once: bool = False

    def at(self, rate: float) -> Load:
        """The same, so many times a second."""
        return replace(self, rate=rate)

    def command(self, generator: Path, port: int, seconds: float, seed: int) -> list[str]:
        options = {"port": port, "seconds": seconds, "seed": seed, "patience": PATIENCE * 1000}
        given = asdict(self)
        flags = [f"--{name}" for name in ("varied", "once") if given.pop(name)]
        return [str(generator), *(f"--{name}={value}" for name, value in (options | given).items()), *flags]


@dataclass(frozen=True, slots=True)
class Round:
    """cpu: seconds of the server. lost: without a response at the end. unsent: of the rate, never sent.

    bytes_moved: heads of responses and bodies, both ways. Times of responses in milliseconds.
    """

    cpu: float
    seconds: float
    answered: int
    faults: int
    lost: int = 0
    unsent: int = 0
    bytes_moved: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    p999_ms: float | None = None
    most_ms: float | None = None

    @property
    def cpu_us(self) -> float:
        """Per request."""
        return self.cpu * 1e6 / self.answered

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds

    @property
    def megabytes(self) -> float:
        return self.bytes_moved / 1e6


@dataclass(frozen=True, slots=True)
class Summary:
    """Of several rounds: medians, the least and the most."""

    cpu_us: float
    cpu_us_least: float
    cpu_us_most: float
    requests_per_second: float
    faults: int
    lost: int

    @classmethod
    def of(cls, rounds: Sequence[Round]) -> Summary:
        costs = [each.cpu_us for each in rounds]
        return cls(
            median(costs),
            min(costs),
            max(costs),
            median(each.per_second for each in rounds),
            sum(each.faults for each in rounds),
            sum(each.lost for each in rounds),
        )


def output_of(command: Sequence[str], seconds: float, core: int) -> str:
    """What a load on `core` tells; raises UnavailableError when it fails. seconds: it should take."""

    def settle() -> None:
        os.sched_setaffinity(0, {core})
        die_with_parent()

    try:
        shown = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=seconds + PATIENCE + 20,
            preexec_fn=settle,
        )
    except subprocess.CalledProcessError as error:
        words = f"{error.stdout}{error.stderr}".strip()[-200:]
        raise UnavailableError(f"the load failed: {words or error.returncode}") from None
    except subprocess.TimeoutExpired:
        raise UnavailableError("the load did not end") from None
    return shown.stdout


def measured(
    generator: Path, load: Load, *, pid: int, port: int, seconds: float, seed: int, core: int
) -> Round:
    """One round of `load`; raises UnavailableError when the server `pid` answers nothing rightly."""
    meter = Meter(pid)
    told: dict[str, Any] = json.loads(output_of(load.command(generator, port, seconds, seed), seconds, core))
    cpu = meter.seconds()
    if told["answered"] <= told["faults"]:
        raise UnavailableError(f"nothing was answered rightly; {told['faults']} faults, {told['lost']} lost")
    kept = ("seconds", "answered", "faults", "lost", "unsent", "p50_ms", "p99_ms", "p999_ms", "most_ms")
    moved = told["bytes_down"] + told["answered"] * load.upload
    return Round(cpu=cpu, bytes_moved=moved, **{name: told[name] for name in kept})


def measured_by_wrk(command: Sequence[str], *, pid: int, seconds: int, core: int) -> Round:
    """The same by wrk, whose options `command` has."""
    meter = Meter(pid)
    shown = output_of(command, seconds, core)
    cpu = meter.seconds()
    found = re.search(r"(\d+) requests in ([\d.]+)s", shown)
    if found is None or not int(found[1]):
        raise UnavailableError(f"wrk tells nothing: {shown[-200:]}")
    faults = [int(count) for count in re.findall(r"(?:responses:|connect|read|write|timeout) (\d+)", shown)]
    return Round(cpu=cpu, seconds=float(found[2]), answered=int(found[1]), faults=sum(faults))
