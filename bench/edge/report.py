"""What the edge benchmark found, as a document and as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from session import Session
from tables import Column, circumstances, figure, told, topic_tables, words

_LEAST_TO_MOST = Column("least–most", lambda row: f"{row['cpu_us_least']:.1f}–{row['cpu_us_most']:.1f}")
_COSTS = (
    words("server", "server"),
    figure("CPU µs", "cpu_us", ".1f"),
    _LEAST_TO_MOST,
    figure("requests/s", "requests_per_second", ",.0f"),
    figure("faults", "faults", "d"),
    figure("lost", "lost", "d"),
    figure("× HAProxy", "times_haproxy", ".2f"),
    figure("× nginx", "times_nginx", ".2f"),
)
COLUMNS: Mapping[str, Sequence[Column]] = {
    "small": _COSTS,
    "varied": _COSTS,
    "connections": _COSTS,
    "tls": _COSTS,
    "bodies": (
        words("server", "server"),
        figure("MB/s", "megabytes_per_second", ",.0f"),
        figure("CPU µs/MB", "cpu_us", ".1f"),
        _LEAST_TO_MOST,
        figure("bodies", "bodies", ",d"),
        figure("faults", "faults", "d"),
    ),
    "idle": (
        words("server", "server"),
        figure("connections", "connections", ",d"),
        figure("RSS MB before", "rss_before", ".1f"),
        figure("RSS MB more", "rss", ".1f"),
        figure("PSS MB more", "pss", ".1f"),
        figure("kB each", "kilobytes_each", ".1f"),
    ),
    "latency": (
        words("server", "server"),
        figure("requests/s", "rate", ",.0f"),
        figure("p50 ms", "p50_ms", ".2f"),
        figure("p99 ms", "p99_ms", ".2f"),
        figure("p99.9 ms", "p999_ms", ".2f"),
        figure("slowest ms", "most_ms", ".1f"),
        figure("CPU µs", "cpu_us", ".1f"),
        figure("unsent", "unsent", "d"),
        figure("faults", "faults", "d"),
    ),
}


def document_of(
    session: Session, topics: Mapping[str, Mapping[str, Any]], busy_before: float
) -> dict[str, Any]:
    """Everything that was found, and under which circumstances; for `--json` and for the tables.

    topics: by name, each with its title and rows. busy_before: the load average of the minute before.
    """
    return {
        **circumstances(busy_before),
        "parameters": {**asdict(session.effort), "cores": asdict(session.cores)},
        "servers": session.versions,
        "skipped": session.skipped,
        "topics": topics,
    }


def tables(document: Mapping[str, Any], *, markdown: bool = False) -> Iterator[str]:
    """The lines of a table for each topic or workload, and before them where it was measured."""
    parameters = document["parameters"]
    cores = parameters["cores"]
    rounds = f"{parameters['rounds']} rounds of {parameters['seconds']} s"
    effort = (
        f"{rounds}, {parameters['connections']} connections unless it says otherwise; "
        f"servers on core {cores['server']}, load and backends on core {cores['generator']}"
    )
    yield from told(document, effort)
    yield from topic_tables(document, COLUMNS, markdown=markdown)
