"""What came of a scenario, as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from rich.box import SIMPLE_HEAD
from rich.table import Table

from gslb.simulate.outcome import Outcome

_BARS = "▁▂▃▄▅▆▇█"
_OVER = "!"
_GONE = "x"
MOST_REGIONS = 20
"""So many are shown; of more those that went through most."""

LEGEND = (
    "Load of each region over time, from empty to full (█), too much (!) and gone (x); a column is the worst "
    "of its time. Busy: at the least and at the most, in % of what it can carry."
)


def headline(outcome: Outcome) -> str:
    """What was simulated, in a sentence."""
    return (
        f"{outcome.title}: {outcome.clients} clients, {len(outcome.regions)} regions, "
        f"{len(outcome.seconds)} seconds."
    )


def chart(outcome: Outcome, columns: int = 40) -> Table:
    """A line for each region, of as many columns."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("region", no_wrap=True)
    table.add_column(f"0 s to {len(outcome.seconds)} s", no_wrap=True)
    for heading in ("busy%", "errors", "ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number in most_eventful(outcome, MOST_REGIONS):
        seconds = [second.regions[number] for second in outcome.seconds]
        loads = [each.utilisation for each in seconds]
        finite = [load for load in loads if load < inf] or [0.0]
        requests = sum(each.requests for each in seconds)
        latency = sum(each.latency * each.requests for each in seconds) / requests if requests else 0.0
        table.add_row(
            outcome.regions[number],
            bars(loads, columns),
            f"{100 * min(finite):.0f}-{100 * max(finite):.0f}",
            f"{sum(each.errors for each in seconds):.0f}",
            f"{1000 * latency:.0f}",
        )
    return table


def most_eventful(outcome: Outcome, most: int) -> list[int]:
    """The numbers of the regions whose load varied most, in the fleet's order."""
    ranges = []
    for number in range(len(outcome.regions)):
        loads = [second.regions[number].utilisation for second in outcome.seconds]
        ranges.append(min(max(loads, default=0.0), 10.0) - min(loads, default=0.0))
    return sorted(sorted(range(len(ranges)), key=lambda number: -ranges[number])[:most])


def bars(loads: Sequence[float], columns: int) -> str:
    """The worst of each part of the time as one character."""
    columns = min(columns, len(loads))
    parts = [
        loads[column * len(loads) // columns : (column + 1) * len(loads) // columns]
        for column in range(columns)
    ]
    return "".join(_bar(max(part)) for part in parts)


def _bar(load: float) -> str:
    if load == inf:
        return _GONE
    return _OVER if load > 1 else _BARS[min(len(_BARS) - 1, int(load * len(_BARS)))]


def events(outcome: Outcome) -> list[str]:
    """A line for each: when, and what."""
    return [f"{at:>6} s  {what}" for at, what in outcome.events]


def summary(outcome: Outcome) -> list[str]:
    """The few numbers that it comes down to, a line each."""
    share = outcome.errors / outcome.requests if outcome.requests else 0.0
    return [
        f"avoidable overload   {outcome.avoidable_overload} s",
        f"longest trouble      {outcome.recovery} s",
        f"worst load           {outcome.worst:.0%} of a region's capacity",
        f"errors               {outcome.errors:.0f} of {outcome.requests:.0f} requests ({share:.2%})",
        f"clients moved        {outcome.moved} ({outcome.moved / outcome.clients:.1%}), "
        f"needlessly {outcome.needlessly}",
    ]
