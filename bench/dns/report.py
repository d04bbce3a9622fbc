"""What the DNS benchmark found, as a document and as a table."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from measure import Cores, Entrant, Summary
from servers import GDNSD

WORKLOADS = {
    "names": "1,000 names, clients all over the world",
    "one name": "one name, clients all over the world",
    "cookies": "1,000 names, clients all over the world, and a good cookie in every query",
}


_HEADING = f"{'server':<10} {'CPU µs':>8} {'least–most':>15} {'answers/s':>10} {'lost':>7} {'× gdnsd':>8}"


def document_of(
    entrants: Sequence[Entrant],
    skipped: dict[str, str],
    options: argparse.Namespace,
    cores: Cores,
    busy_before: float,
) -> dict[str, Any]:
    """Everything that was found, and under which circumstances; for `--json` and for the table.

    busy_before: the machine's load average of the minute before, which was the doing of others.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "load_before": busy_before,
        },
        "parameters": {
            "rounds": options.rounds,
            "seconds": options.seconds,
            "warm_up": options.warm_up,
            "outstanding": options.outstanding,
            "seed": options.seed,
            "server_core": cores.server,
            "generator_core": cores.generator,
        },
        "servers": {entrant.server.name: entrant.version for entrant in entrants},
        "skipped": skipped,
        "results": [result for workload in options.workloads for result in _results_of(workload, entrants)],
    }


def _results_of(workload: str, entrants: Sequence[Entrant]) -> Iterator[dict[str, Any]]:
    summaries = {
        entrant.server.name: Summary.of(rounds)
        for entrant in entrants
        if (rounds := entrant.rounds.get(workload))
    }
    reference = summaries.get(GDNSD.name)
    for entrant in entrants:
        if (summary := summaries.get(entrant.server.name)) is not None:
            yield {
                "workload": workload,
                "server": entrant.server.name,
                **asdict(summary),
                "times_gdnsd": summary.cpu_us / reference.cpu_us if reference else None,
                "rounds": [asdict(each) for each in entrant.rounds[workload]],
            }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def table(document: dict[str, Any]) -> Iterator[str]:
    """The lines of a table for each workload, and before them where it was measured."""
    machine, parameters = document["machine"], document["parameters"]
    yield (
        f"{document['date']}; {machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}; "
        f"load of others before {machine['load_before']:.1f}"
    )
    yield (
        f"{parameters['rounds']} rounds of {parameters['seconds']} s, "
        f"{parameters['outstanding']} queries outstanding"
    )
    yield "; ".join(f"{name} {version}" for name, version in document["servers"].items())
    for name, reason in document["skipped"].items():
        yield f"{name} is skipped: {reason}"
    for workload, title in WORKLOADS.items():
        results = [result for result in document["results"] if result["workload"] == workload]
        if results:
            yield ""
            yield f"{title}:"
            yield _HEADING
            yield from map(_row, results)
        if sum(result["faults"] for result in results):
            yield f"answers that were wrong, or late: {_faults(results)}"


def _row(result: dict[str, Any]) -> str:
    spread = f"{result['cpu_us_least']:.1f}–{result['cpu_us_most']:.1f}"
    lost = result["lost"] / result["sent"]
    ratio = "" if result["times_gdnsd"] is None else f"{result['times_gdnsd']:.1f}"
    return (
        f"{result['server']:<10} {result['cpu_us']:>8.1f} {spread:>15} "
        f"{result['answers_per_second']:>10,.0f} {lost:>7.2%} {ratio:>8}".rstrip()
    )


def _faults(results: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{result['server']} {result['faults']}" for result in results if result["faults"])
