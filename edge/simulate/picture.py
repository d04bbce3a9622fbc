"""What came of a simulation, as a picture that can be read on light and on dark ground."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.simulate.outcome import Outcome
from gslb.errors import GslbError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = (".svg", ".png")

_INK = "#808890"
_PERCENTILES = ((0.5, "p50", "o", "#3b82f6"), (0.9, "p90", "D", "#d08700"), (0.99, "p99", "s", "#e0484d"))
_BARS = "#3b82f6"
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


def draw(file: Path, title: str, outcomes: Mapping[str, Outcome]) -> None:
    """Write an SVG or PNG file: response times, and beside them errors, or how far servers are in use.

    Raises GslbError: as `check` does, or the file cannot be written.
    """
    check(file)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(8, 1.2 + 0.27 * len(outcomes)), layout="constrained")
        times, beside = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
        figure.suptitle(title, fontsize=10)
        _draw_times(times, outcomes)
        if any(outcome.errors for outcome in outcomes.values()):
            _draw_errors(beside, outcomes)
        else:
            _draw_utilisation(beside, outcomes)
        # Without the date, so that the same outcomes make the same bytes.
        metadata = {"Date": None} if file.suffix.lower() == ".svg" else None
        try:
            figure.savefig(file, transparent=True, dpi=100, metadata=metadata)
        except OSError as error:
            raise GslbError(f"{file} cannot be written: {error.strerror or error}") from error


def _draw_times(axes: Axes, outcomes: Mapping[str, Outcome]) -> None:
    rows = range(len(outcomes))
    axes.set_yticks(rows, list(outcomes))
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    # Each of its many lines would be as large in the file as a point of the picture.
    axes.minorticks_off()
    for row, outcome in enumerate(outcomes.values()):
        ends = [outcome.percentile(share) for share in (0.5, 0.99)]
        if ends[0] is not None and ends[1] is not None:
            axes.plot([1000 * ends[0], 1000 * ends[1]], [row, row], color=_INK, linewidth=1, zorder=1)
    for share, label, marker, colour in _PERCENTILES:
        points = [
            (1000 * seconds, row)
            for row, outcome in enumerate(outcomes.values())
            if (seconds := outcome.percentile(share)) is not None
        ]
        axes.scatter(
            [point[0] for point in points],
            [point[1] for point in points],
            s=22,
            marker=marker,
            color=colour,
            label=label,
            zorder=2,
        )
    axes.set_xlabel("ms to a good response")
    axes.grid(axis="x", color=_INK, alpha=0.25)
    axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)


def _draw_errors(axes: Axes, outcomes: Mapping[str, Outcome]) -> None:
    shares = [100 * outcome.errors / outcome.requests for outcome in outcomes.values()]
    bars = axes.barh(range(len(shares)), shares, height=0.5, color=_BARS)
    axes.bar_label(bars, [f"{share:.1f}" for share in shares], padding=3, color=_INK, fontsize=8)
    axes.set_xlim(0, 1.25 * max(shares))
    axes.set_xlabel("% errors")


def _draw_utilisation(axes: Axes, outcomes: Mapping[str, Outcome]) -> None:
    for row, outcome in enumerate(outcomes.values()):
        busy = [100 * server.utilisation for server in outcome.servers]
        axes.barh(row, max(busy) - min(busy), left=min(busy), height=0.3, color=_BARS, edgecolor=_BARS)
    axes.set_xlim(0, 105)
    axes.grid(axis="x", color=_INK, alpha=0.25)
    axes.set_xlabel("% in use, idlest to busiest")
