"""What came of a simulation, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.table import Table

from edge.simulate.load import Load
from edge.simulate.outcome import Outcome

LEGEND = (
    "Times in ms, of good responses. Busy: the least and the most busy server. Most: requests at one server "
    "at a time. Moved: requests that came to another server than their client's request before. "
    "Ill: requests that went to servers that are slow or fail."
)


def headline(load: Load, utilisation: float) -> str:
    """What was simulated, in a sentence."""
    edges = "" if load.edges == 1 else f" through {load.edges} edges"
    return (
        f"{load.requests} requests of {load.clients} clients{edges} to {len(load.servers)} servers: "
        f"{load.rate:.0f} per second, {utilisation:.0%} of what the servers can do; each takes "
        f"{load.mean * 1000:g} ms on average ({load.tail}). Seed {load.seed}."
    )


def comparison(outcomes: Mapping[str, Outcome], ill: int) -> Table:
    """A row for each method. ill: how many servers, the first ones, are slow or fail; 0 leaves it out."""
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    table.add_column("method", no_wrap=True)
    for heading in ("p50", "p90", "p99", "max", "busy%", "most", "errors%", "moved%"):
        table.add_column(heading, justify="right", no_wrap=True)
    if ill:
        table.add_column("ill%", justify="right", no_wrap=True)
    for name, outcome in outcomes.items():
        row = [name, *(_milliseconds(outcome.percentile(share)) for share in (0.5, 0.9, 0.99, 1))]
        busy = [server.utilisation for server in outcome.servers]
        row += [f"{100 * min(busy):.0f}-{100 * max(busy):.0f}", str(outcome.most_in_flight)]
        row += [_percent(outcome.errors / outcome.requests), _percent(outcome.moved)]
        if ill:
            row.append(_percent(sum(server.requests for server in outcome.servers[:ill]) / outcome.requests))
        table.add_row(*row)
    return table


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
