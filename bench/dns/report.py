"""What the DNS benchmark found, as a document and as tables."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from session import Session

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, and what stands below it; texts are left-aligned, figures right-aligned."""

    heading: str
    show: Callable[[Row], str]
    text: bool = False


def _text(heading: str, key: str) -> Column:
    return Column(heading, lambda row: str(row[key]), text=True)


def _figure(heading: str, key: str, form: str) -> Column:
    return Column(heading, lambda row: "" if row[key] is None else format(row[key], form))


def _lost(row: Row) -> str:
    return f"{row['lost'] / row['sent']:.2%}"


_COSTS = (
    _text("server", "server"),
    _figure("CPU µs", "cpu_us", ".1f"),
    Column("least–most", lambda row: f"{row['cpu_us_least']:.1f}–{row['cpu_us_most']:.1f}"),
    _figure("answers/s", "answers_per_second", ",.0f"),
    Column("lost", _lost),
    _figure("faults", "faults", "d"),
    _figure("× gdnsd", "times_gdnsd", ".1f"),
)
COLUMNS: Mapping[str, Sequence[Column]] = {
    "answers": _COSTS,
    "features": _COSTS,
    "services": _COSTS,
    "flips": (
        _text("server", "server"),
        _figure("CPU µs", "cpu_us", ".1f"),
        _figure("without flips", "cpu_us_quiet", ".1f"),
        _figure("answers/s", "answers_per_second", ",.0f"),
        _figure("flips/s", "flips_per_second", ".1f"),
        _figure("stale ms", "stale_ms", ".2f"),
        _figure("in effect ms", "effect_ms", ".2f"),
        _figure("lost", "lost", "d"),
        _figure("faults", "bad", "d"),
    ),
    "regions": (
        _figure("regions", "regions", ",d"),
        _text("server", "server"),
        _figure("first CPU µs", "cpu_us_first", ".1f"),
        _figure("warm CPU µs", "cpu_us", ".1f"),
        _figure("answers/s", "answers_per_second", ",.0f"),
        _figure("slowest ms", "latency_quiet_ms", ".1f"),
        _figure("with flips ms", "latency_flipping_ms", ".1f"),
        _figure("with flips CPU µs", "cpu_us_flipping", ".1f"),
        _figure("lost", "lost", "d"),
        _figure("faults", "bad", "d"),
    ),
    "start": (
        _text("server", "server"),
        _text("", "case"),
        _figure("first answer s", "first_answer_seconds", ".2f"),
        _figure("CPU s", "cpu_seconds_to_settle", ".1f"),
        _figure("MB then", "rss_at_first_answer", ".1f"),
        _figure("MB settled", "rss_settled", ".1f"),
        _figure("MB after load", "rss_after_load", ".1f"),
    ),
}


def document_of(
    session: Session, topics: Mapping[str, Mapping[str, Any]], busy_before: float
) -> dict[str, Any]:
    """Everything that was found, and under which circumstances; for `--json` and for the tables.

    topics: by name, each with its title and rows. busy_before: the machine's load average of the minute
    before, which was the doing of others.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "load_before": busy_before,
        },
        "parameters": {**asdict(session.effort), "cores": asdict(session.cores)},
        "servers": session.versions,
        "skipped": session.skipped,
        "topics": topics,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def tables(document: dict[str, Any], *, markdown: bool = False) -> Iterator[str]:
    """The lines of a table for each topic or workload, and before them where it was measured.

    markdown: tables that docs/performance.md can take.
    """
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
    for name, topic in document["topics"].items():
        workloads = dict.fromkeys(row.get("workload", topic["title"]) for row in topic["rows"])
        for workload in workloads:
            yield ""
            yield f"{workload}:"
            rows = [row for row in topic["rows"] if row.get("workload", workload) == workload]
            yield from (_markdown if markdown else _table)(COLUMNS[name], rows)


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
