"""One soak: load, change and comparison at the same time, around a node that answers."""

from __future__ import annotations

import argparse
import http.client
import json
import random
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admin import Admin
from gslb_servers import Setting
from measure import Load
from probing import Probe, Prober
from processes import die_with_parent, dropped_datagrams, resident_megabytes, tell
from servers import Place
from soak_changes import Changer, Databases, Flips, Reloads
from truth import Truth
from verdict import Curve, Findings
from world import TTL, WWW, Sample

STATUS_EVERY = 10
"""Seconds."""

_NOTHING = {"sent": 0, "lost": 0, "unexpected": 0, "bad": 0, "latency_most_ms": 0.0, "dropped_here": 0}


@dataclass(frozen=True, slots=True)
class Node:
    """The node that is soaked."""

    process: subprocess.Popen[bytes]
    place: Place
    setting: Setting
    live: Path
    databases: tuple[Path, Path]
    log: Path


class Soak:
    """The run itself. Everything of it but the node and the generator lives in this process."""

    def __init__(self, node: Node, chosen: list[Sample], options: argparse.Namespace) -> None:
        self._node, self._chosen, self._options = node, chosen, options
        self._truth = Truth(options.grace, TTL)
        self._wrong: list[str] = []
        self._memory: list[tuple[float, float]] = []
        self._over = False
        setting = node.setting
        assert setting.admin is not None
        databases = Databases(node.live, node.databases, setting.admin, lambda: self._over)
        reloads = Reloads(node.place, setting, self._truth)
        flips = Flips(node.place.folder / "regions.yaml", self._truth, options.seed)
        self._changers = [
            Changer("reloads", reloads.change, options.reload_every),
            Changer("databases", databases.change, options.database_every),
            Changer("flips", flips.change, options.flip_every),
        ]
        self._prober = Prober(
            node.place.port,
            self._question,
            self._compare,
            interval=1 / options.probes,
            patience=options.patience,
        )
        self._totals: dict[str, Any] = {}
        self._latency_most_ms = 0.0

    def run(self, load: Load, generator: Path) -> Findings:
        node, options = self._node, self._options
        dropped_before = dropped_datagrams(node.place.port)
        command = load.command(generator, node.place.port, options.seconds, options.seed)
        with ExitStack() as stack:
            asking = stack.enter_context(
                subprocess.Popen(
                    [*command, "--each-second"],
                    stdout=subprocess.PIPE,
                    text=True,
                    preexec_fn=die_with_parent,
                )
            )
            stack.enter_context(self._prober)
            for changer in self._changers:
                stack.enter_context(changer)
            try:
                self._watch(asking)
            finally:
                asking.kill()  # it has ended, unless this did not go well
                self._over = True
        problems = [problem for changer in self._changers for problem in changer.problems]
        dropped = dropped_datagrams(node.place.port) - dropped_before
        return self._findings([*problems, *self._other_problems()], dropped)

    def _watch(self, asking: subprocess.Popen[str]) -> None:
        """Follow the generator, which speaks once a second and once more at its end."""
        began = time.monotonic()
        assert asking.stdout is not None
        lost = 0
        for second, line in enumerate(asking.stdout, start=1):
            last, self._totals = self._totals, json.loads(line)
            lost += last.get("lost", 0)
            if self._node.process.poll() is not None:
                return
            at = time.monotonic() - began
            self._memory.append((at, resident_megabytes(self._node.process.pid)))
            if last and second % STATUS_EVERY == 1:
                self._tell_status(at, last, lost)

    def _tell_status(self, at: float, last: dict[str, Any], lost: int) -> None:
        done = ", ".join(f"{changer.done} {changer.name}" for changer in self._changers)
        wrong = f"{len(self._wrong)} of {self._prober.answered}"
        tell(
            f"{at:6.0f} s  {last['answered'] / last['seconds']:8,.0f}/s  lost {lost}  "
            f"slowest {last['latency_most_ms']:7.1f} ms  wrong {wrong}  "
            f"RSS {self._memory[-1][1]:6.1f} MB  {done}"
        )

    def _question(self) -> tuple[str, Sample]:
        sample = random.choice(self._chosen)
        chance = random.random()
        now = time.monotonic()
        fresh = self._truth.fresh.possible(now, now)
        if chance < 0.2 and len(fresh) == 1 and (name := next(iter(fresh))) is not None:
            return name, sample
        return (WWW if chance < 0.5 else random.choice(self._node.place.names)), sample

    def _compare(self, probe: Probe) -> None:
        truth, since, until = self._truth, probe.sent_at, probe.received_at
        if probe.name.startswith("fresh") and {probe.name} != truth.fresh.possible(since, until):
            return  # it went while it was asked for
        fault = truth.fault(probe.answer, probe.sample, since, until)
        if fault is None and probe.name == WWW and probe.answer.ttl > max(truth.ttl.possible(since, until)):
            fault = f"TTL {probe.answer.ttl}, which is not that of the file"
        if fault is not None:
            self._wrong.append(f"{probe.name} for {probe.sample.network}: {fault}")

    def _other_problems(self) -> list[str]:
        problems = []
        if (status := self._node.process.poll()) is not None:
            problems.append(f"the node ended with status {status}")
        if self._prober.failure is not None:
            problems.append(f"the prober failed: {self._prober.failure!r}")
        if self._prober.lost:
            problems.append(f"{self._prober.lost} of the prober's {self._prober.sent} queries were lost")
        log = self._node.log.read_text(errors="replace")
        if "Traceback" in log:
            problems.append(f"the node's log tells of a fault: {log[log.index('Traceback') :][:800]}")
        return problems

    def _findings(self, problems: list[str], dropped: int) -> Findings:
        totals = {**_NOTHING, **self._totals}
        self._latency_most_ms = totals["latency_most_ms"]
        if totals["lost"] and (overloads := self._overloads()):
            problems.append(f"{overloads:,} queries were dropped by the compiled loop, as Python was behind")
        if totals["lost"] and dropped:
            problems.append(f"{dropped:,} queries found no room in the node's socket")
        if totals["lost"] and totals["dropped_here"]:
            problems.append(f"{totals['dropped_here']:,} answers found no room in the generator's socket")
        return Findings(
            totals["sent"],
            totals["lost"],
            totals["unexpected"],
            totals["bad"],
            self._prober.answered,
            self._wrong,
            problems,
            Curve.of(self._memory or [(0.0, 0.0)]),
            self._options.growth,
        )

    def _overloads(self) -> int:
        assert self._node.setting.admin is not None
        try:
            return Admin(self._node.setting.admin).counter("gslb_dns_compiled_overloads")
        except (OSError, http.client.HTTPException):
            return 0  # the node is gone, which is told elsewhere

    def summary(self) -> dict[str, Any]:
        """How much was done, and how slowly at worst."""
        return {
            "seconds": self._totals.get("seconds", 0.0),
            "skipped": self._totals.get("skipped", 0),
            "latency_most_ms": self._latency_most_ms,
            "changes": {
                changer.name: {"done": changer.done, "slowest_seconds": round(changer.slowest, 2)}
                for changer in self._changers
            },
        }
