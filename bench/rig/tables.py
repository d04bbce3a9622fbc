"""How both benchmarks show what they found: where it was measured, and tables, plain or in Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, and what stands below it; texts are left-aligned, figures right-aligned."""

    heading: str
    show: Callable[[Row], str]
    text: bool = False


def words(heading: str, key: str) -> Column:
    """A column of texts."""
    return Column(heading, lambda row: str(row[key]), text=True)


def figure(heading: str, key: str, form: str) -> Column:
    """A column of numbers, each as `form` says; nothing where there is none."""
    return Column(heading, lambda row: "" if row[key] is None else format(row[key], form))


def circumstances(busy_before: float) -> dict[str, Any]:
    """When and where this was measured. busy_before: the load average before, of others."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "load_before": busy_before,
        },
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def told(document: Mapping[str, Any], effort: str) -> Iterator[str]:
    """The lines before the tables: circumstances, effort, versions, and what is missing."""
    machine = document["machine"]
    yield (
        f"{document['date']}; {machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}; "
        f"load of others before {machine['load_before']:.1f}"
    )
    yield effort
    yield "; ".join(f"{name} {version}" for name, version in document["servers"].items())
    for name, reason in document["skipped"].items():
        yield f"{name} is skipped: {reason}"


def topic_tables(
    document: Mapping[str, Any], columns: Mapping[str, Sequence[Column]], *, markdown: bool
) -> Iterator[str]:
    """The lines of a table for each topic, or for each workload where a topic has several."""
    for name, topic in document["topics"].items():
        workloads = dict.fromkeys(row.get("workload", topic["title"]) for row in topic["rows"])
        for workload in workloads:
            yield ""
            yield f"{workload}:"
            rows = [row for row in topic["rows"] if row.get("workload", workload) == workload]
            yield from (_markdown if markdown else _table)(columns[name], rows)


def _markdown(columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(column.heading for column in columns)} |"
    yield f"|{'|'.join('---' if column.text else '---:' for column in columns)}|"
    for row in rows:
        yield f"| {' | '.join(column.show(row) for column in columns)} |"


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[str]:
    cells = [[column.heading for column in columns], *([c.show(row) for c in columns] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    for line in cells:
        shown = (
            cell.ljust(width) if column.text else cell.rjust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        )
        yield "  ".join(shown).rstrip()
