"""What the DNS benchmark measures with: rounds of load, CPU time, memory, and statistics."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from processes import UnavailableError, cpu_seconds


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator asks. names: how many different ones. cookie: of the option, empty for none.

    new_clients: every so manieth query has the client's half of the cookie only. rate: queries a second, 0
    for as many as are answered. look: into every so manieth answer. patience: seconds for an answer.
    """

    names: int
    outstanding: int
    cookie: bytes = b""
    new_clients: int = 0
    rate: float = 0
    look: int = 64
    patience: float = 1.0

    def at(self, rate: float) -> Load:
        """The same, so many times a second."""
        return replace(self, rate=rate)

    def command(self, generator: Path, port: int, seconds: float, seed: int) -> list[str]:
        options: dict[str, object] = {
            "port": port,
            "seconds": seconds,
            "seed": seed,
            "names": self.names,
            "outstanding": self.outstanding,
            "new-clients": self.new_clients,
            "rate": self.rate,
            "look": self.look,
            "patience": self.patience * 1000,
        }
        if self.cookie:
            options["cookie"] = self.cookie.hex()
        return [str(generator), *(f"--{name}={value}" for name, value in options.items())]


@dataclass(frozen=True, slots=True)
class Round:
    """cpu_us: CPU microseconds of the server per answer. latency_most_ms: of the slowest answer.

    unexpected: answers to nothing that was asked. bad: of those that were looked into (checked), answers with
    an error or without an address. skipped: queries of the rate that could not be sent in time.
    """

    cpu_us: float
    answers_per_second: float
    sent: int
    answered: int
    lost: int
    unexpected: int
    checked: int
    bad: int
    skipped: int
    latency_most_ms: float

    @classmethod
    def of(cls, told: dict[str, Any], cpu: float) -> Round:
        """told: by the generator. cpu: seconds. Raises UnavailableError when nothing was answered."""
        if not told["answered"]:
            raise UnavailableError("it answered nothing")
        counted = ("sent", "answered", "lost", "unexpected", "checked", "bad", "skipped", "latency_most_ms")
        return cls(
            cpu * 1e6 / told["answered"],
            told["answered"] / told["seconds"],
            *(told[key] for key in counted),
        )


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


def measured(
    generator: Path, load: Load, *, pid: int, port: int, seconds: float, seed: int, core: int
) -> Round:
    """One round of `load` from `core`; raises UnavailableError when the server `pid` answers nothing."""
    before = cpu_seconds(pid)
    shown = subprocess.run(
        load.command(generator, port, seconds, seed),
        capture_output=True,
        check=True,
        timeout=seconds + load.patience + 30,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return Round.of(json.loads(shown.stdout), cpu_seconds(pid) - before)
