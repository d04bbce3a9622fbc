"""Topic: what bodies of 1 MB and 100 MB cost, down to the client and up to the backend."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

from asking import LARGE, LARGEST
from measure import Load
from session import Entrant, Row, Session

_ANSWER = 3
"""Bytes of the answer to an upload."""

WORKLOADS = {
    "1 MB down": Load(16, path=f"/bytes/{LARGE}", expect=LARGE),
    "1 MB up": Load(16, path="/upload", expect=_ANSWER, upload=LARGE),
    "100 MB down": Load(2, path=f"/bytes/{LARGEST}", expect=LARGEST),
    "100 MB up": Load(2, path="/upload", expect=_ANSWER, upload=LARGEST),
}
"""1 MB: 2**20 bytes. Speeds are in MB of a million bytes."""


def bodies(session: Session) -> list[Row]:
    """A round of 100 MB ends when the last body has arrived, so it may take longer than it should."""
    with ExitStack() as stack:
        entrants = session.enter(stack, "bodies", session.servers())
        return [row for name, load in WORKLOADS.items() for row in _rows(session, name, load, entrants)]


def _rows(session: Session, workload: str, load: Load, entrants: Sequence[Entrant]) -> list[Row]:
    found = session.in_turns(workload, entrants, lambda each, seconds: session.round(each, load, seconds))
    rows: list[Row] = []
    for name, rounds in found.items():
        costs = [each.cpu * 1e6 / each.megabytes for each in rounds]
        rows.append(
            {
                "workload": workload,
                "server": name,
                "megabytes_per_second": median(each.megabytes / each.seconds for each in rounds),
                "cpu_us": median(costs),
                "cpu_us_least": min(costs),
                "cpu_us_most": max(costs),
                "bodies": sum(each.answered for each in rounds),
                "faults": sum(each.faults + each.lost for each in rounds),
            }
        )
    return rows
