"""What the DNS benchmark found, as a document and as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from session import Session
from tables import Column, Row, circumstances, figure, told, topic_tables, words


def _lost(row: Row) -> str:
    return f"{row['lost'] / row['sent']:.2%}"


_COSTS = (
    words("server", "server"),
    figure("CPU µs", "cpu_us", ".1f"),
    Column("least–most", lambda row: f"{row['cpu_us_least']:.1f}–{row['cpu_us_most']:.1f}"),
    figure("answers/s", "answers_per_second", ",.0f"),
    Column("lost", _lost),
    figure("faults", "faults", "d"),
    figure("× gdnsd", "times_gdnsd", ".1f"),
)
COLUMNS: Mapping[str, Sequence[Column]] = {
    "answers": _COSTS,
    "features": _COSTS,
    "services": _COSTS,
    "flips": (
        words("server", "server"),
        figure("CPU µs", "cpu_us", ".1f"),
        figure("without flips", "cpu_us_quiet", ".1f"),
        figure("answers/s", "answers_per_second", ",.0f"),
        figure("flips/s", "flips_per_second", ".1f"),
        figure("stale ms", "stale_ms", ".2f"),
        figure("in effect ms", "effect_ms", ".2f"),
        figure("lost", "lost", "d"),
        figure("faults", "bad", "d"),
    ),
    "regions": (
        figure("regions", "regions", ",d"),
        words("server", "server"),
        figure("first CPU µs", "cpu_us_first", ".1f"),
        figure("warm CPU µs", "cpu_us", ".1f"),
        figure("answers/s", "answers_per_second", ",.0f"),
        figure("slowest ms", "latency_quiet_ms", ".1f"),
        figure("with flips ms", "latency_flipping_ms", ".1f"),
        figure("with flips CPU µs", "cpu_us_flipping", ".1f"),
        figure("lost", "lost", "d"),
        figure("faults", "bad", "d"),
    ),
    "start": (
        words("server", "server"),
        words("", "case"),
        figure("first answer s", "first_answer_seconds", ".2f"),
        figure("CPU s", "cpu_seconds_to_settle", ".1f"),
        figure("MB then", "rss_at_first_answer", ".1f"),
        figure("MB settled", "rss_settled", ".1f"),
        figure("MB after load", "rss_after_load", ".1f"),
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
        **circumstances(busy_before),
        "parameters": {**asdict(session.effort), "cores": asdict(session.cores)},
        "servers": session.versions,
        "skipped": session.skipped,
        "topics": topics,
    }


def tables(document: dict[str, Any], *, markdown: bool = False) -> Iterator[str]:
    """The lines of a table for each topic or workload, and before them where it was measured.

    markdown: tables that docs/performance.md can take.
    """
    parameters = document["parameters"]
    effort = (
        f"{parameters['rounds']} rounds of {parameters['seconds']} s, "
        f"{parameters['outstanding']} queries outstanding"
    )
    yield from told(document, effort)
    yield from topic_tables(document, COLUMNS, markdown=markdown)
