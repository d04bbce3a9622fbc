"""Topic: how soon a server answers after its start, and how much memory it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from answers import FEW
from asking import wait_until_it_answers
from gslb_servers import Setting, variants
from processes import UnavailableError, cpu_seconds, resident_megabytes, running, settled, tell
from servers import PEERS, Server
from session import SETTLING, Entrant, Session
from world import DEFAULT, names

FRESH, KEPT = "without a kept map", "with a kept map"


def starting(session: Session) -> list[dict[str, Any]]:
    """Every server alone on its core; gslb with and without the network map of the run before."""
    rows = []
    for server, case, cache in _cases(session):
        if server.name not in session.chosen:
            continue
        if case == KEPT and cache is not None and not any(each.is_file() for each in cache.rglob("*")):
            session.skip(f"start, {case}", server.name, "it has not kept a network map")
            continue
        tell(f"start: {server.name}{', ' + case if case else ''}")
        try:
            rows.append({"server": server.name, "case": case, **_measured(session, server, case)})
        except UnavailableError as reason:
            session.skip(f"start{', ' + case if case else ''}", server.name, reason)
    return rows


def _cases(session: Session) -> Iterator[tuple[Server, str, Path | None]]:
    for server in PEERS:
        yield server, "", None
    for number in range(2):
        cache = session.folder / f"cache of start {number}"
        server = variants(Setting(), cache)[number]
        yield server, FRESH, cache
        yield server, KEPT, cache


def _measured(session: Session, server: Server, case: str) -> dict[str, Any]:
    session.versions[server.name] = server.version()
    place = session.place(f"start {case}".strip(), server, names(FEW))
    command = server.prepare(place)
    # Clients whose answer follows from the database, and not from the default.
    sample = next(each for each in session.samples if each.expected != DEFAULT.address)
    log = place.folder / "log"
    with ExitStack() as stack:
        began = time.monotonic()
        process = stack.enter_context(
            running(command, log, session.cores.server, environment=server.environment)
        )
        wait_until_it_answers(process, place.port, sample, log, rightly=True)
        answered = time.monotonic() - began
        first_memory = resident_megabytes(process.pid)
        settled(process.pid, SETTLING)
        row = {
            "first_answer_seconds": answered,
            "cpu_seconds_to_settle": cpu_seconds(process.pid),
            "rss_at_first_answer": first_memory,
            "rss_settled": resident_megabytes(process.pid),
        }
        session.round(Entrant(server, place, process, log), session.load(FEW), session.effort.warm_up)
        return {**row, "rss_after_load": resident_megabytes(process.pid)}
