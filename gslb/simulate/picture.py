"""What came of a scenario, as a picture that can be read on light and on dark ground."""

from __future__ import annotations

from importlib.util import find_spec
from math import inf
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from gslb.errors import GslbError
from gslb.simulate.outcome import Outcome
from gslb.simulate.table import most_eventful

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = (".svg", ".png")

_INK = "#808890"
_FAINT = "#80889080"
_COLOURS = ("#3b82f6", "#d08700", "#e0484d", "#0f9d76", "#a05cd6")
_POINTS = 200
"""Of a line: more could not be told apart, and would be as large in the file as they are many."""

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # Letters stay text, and what SVG numbers by chance is always numbered alike.
    "svg.fonttype": "none",
    "svg.hashsalt": "gslb",
}


def check(file: Path) -> None:
    """Raises GslbError: the file is to be of another kind, or there is nothing to draw with."""
    if file.suffix.lower() not in KINDS:
        raise GslbError(f"{file} is not a kind of picture that can be drawn", hint="name a .svg or .png file")
    if find_spec("matplotlib") is None:
        raise GslbError(
            "drawing pictures needs matplotlib", hint="install the extra: pip install 'gslb[pictures]'"
        )


def draw(file: Path, outcome: Outcome) -> None:
    """Write an SVG or PNG file: the load of regions over time, below it errors and who was moved.

    Raises GslbError: as `check` does, or the file cannot be written.
    """
    check(file)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(8, 4.6), layout="constrained")
        loads, errors, moves = figure.subplots(3, 1, sharex=True, height_ratios=(5, 1.2, 1.2))
        figure.suptitle(outcome.title, fontsize=10)
        step = max(1, len(outcome.seconds) // _POINTS)
        minutes = [outcome.seconds[at].at / 60 for at in range(0, len(outcome.seconds), step)]
        _draw_loads(loads, outcome, minutes, step)
        _mark_events(loads, outcome)
        shares = [100 * second.errors / (second.requests or 1) for second in outcome.seconds]
        errors.fill_between(minutes, _worst(shares, step), color="#e0484d", linewidth=0)
        errors.set_ylim(0, max(1.0, 1.1 * max(shares)))
        errors.set_ylabel("% errors", fontsize=8)
        moved = [100 * second.moved / outcome.clients for second in outcome.seconds]
        moves.fill_between(minutes, _worst(moved, step), color="#3b82f6", linewidth=0)
        moves.set_ylim(0, max(0.5, 1.1 * max(moved)))
        moves.set_ylabel("% moved", fontsize=8)
        moves.set_xlabel("minutes")
        moves.set_xlim(0, len(outcome.seconds) / 60)
        figure.align_ylabels()
        # Without the date, so that the same outcomes make the same bytes.
        metadata = {"Date": None} if file.suffix.lower() == ".svg" else None
        try:
            figure.savefig(file, transparent=True, dpi=100, metadata=metadata)
        except OSError as error:
            raise GslbError(f"{file} cannot be written: {error.strerror or error}") from error


def _draw_loads(axes: Axes, outcome: Outcome, minutes: list[float], step: int) -> None:
    """Those that went through most in colours, before the others. Where a line ends the region is gone."""
    chosen = most_eventful(outcome, len(_COLOURS))
    named = False
    for number, name in enumerate(outcome.regions):
        loads = [second.regions[number].utilisation for second in outcome.seconds]
        line = [100 * load if load < inf else float("nan") for load in _worst(loads, step)]
        if number in chosen:
            colour = _COLOURS[chosen.index(number)]
            axes.plot(minutes, line, color=colour, linewidth=1.6, label=name, zorder=3)
        else:
            axes.plot(minutes, line, color=_FAINT, linewidth=0.8, label=None if named else "others", zorder=2)
            named = True
    axes.axhline(100, color=_INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_ylabel("% of capacity")
    axes.set_ylim(0, min(250, max(110, 105 * outcome.worst)))
    axes.grid(axis="y", color=_INK, alpha=0.25)
    axes.legend(frameon=False, ncols=6, loc="lower left", bbox_to_anchor=(0, 1.0), borderpad=0, fontsize=8)


def _mark_events(axes: Axes, outcome: Outcome) -> None:
    for at, what in outcome.events:
        axes.axvline(at / 60, color=_INK, linewidth=0.8, zorder=1)
        axes.annotate(
            fill(what, 22),
            (at / 60, 0),
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=7.5,
            va="bottom",
        )


def _worst(values: list[float], step: int) -> list[float]:
    """The largest of each `step` of them."""
    return [max(values[at : at + step]) for at in range(0, len(values), step)]
