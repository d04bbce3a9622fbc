"""Topics that compare what a small request costs: always the same, ever varied, on ever new connections."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from math import ceil

from measure import Load, Round, measured_by_wrk
from session import Entrant, Row, Session

BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://www.bench.test/products/overview",
    "Connection: keep-alive",
    "Cookie: theme=dark; consent=1; session=00000000000000000000000000000000",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
)
"""The fields of the generator's requests beside Host, for wrk."""


def small(session: Session) -> list[Row]:
    """About 1 KB over keep-alive connections; by wrk as well, where it is installed."""
    with ExitStack() as stack:
        entrants = session.enter(stack, "small", session.servers())
        rows = _by_generator(session, "1 KB, keep-alive", entrants, session.load())
        if session.wrk is not None:
            rows += session.compared(
                "1 KB, keep-alive, asked by wrk",
                entrants,
                lambda each, seconds: by_wrk(session, each, seconds),
            )
        else:
            session.skip("small", "wrk", "it is not installed (Debian: apt-get install wrk)")
        return rows


def varied(session: Session) -> list[Row]:
    """The same with another path and another Cookie in every request."""
    with ExitStack() as stack:
        entrants = session.enter(stack, "varied", session.servers())
        load = replace(session.load(), varied=True)
        return _by_generator(session, "1 KB, keep-alive, varied", entrants, load)


def connections(session: Session) -> list[Row]:
    """A new connection for every request; the client closes it after the response."""
    with ExitStack() as stack:
        entrants = session.enter(stack, "connections", session.servers())
        load = replace(session.load(), once=True)
        return _by_generator(session, "1 KB, a connection each", entrants, load)


def _by_generator(session: Session, workload: str, entrants: Sequence[Entrant], load: Load) -> list[Row]:
    return list(
        session.compared(workload, entrants, lambda each, seconds: session.round(each, load, seconds))
    )


def by_wrk(session: Session, entrant: Entrant, seconds: float) -> Round:
    """One round by wrk, which counts in whole seconds; with TLS where the entrant has it."""
    assert session.wrk is not None
    scheme = "http" if entrant.place.certificate is None else "https"
    whole = max(1, ceil(seconds))
    command = [session.wrk, "-t1", f"-c{session.effort.connections}", f"-d{whole}s"]
    for line in ("Host: www.bench.test", *BROWSER):
        command += ["-H", line]
    command.append(f"{scheme}://127.0.0.1:{entrant.place.port}/small")
    return measured_by_wrk(command, pid=entrant.process.pid, seconds=whole, core=session.cores.generator)
