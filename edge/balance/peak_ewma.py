"""How slow a server is: it counts as slow at once, and as quick again by and by."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

# What a server of which nothing is known is taken to need, in seconds.
UNTRIED = 1.0
# Clocks that go by milliseconds measure nothing at all; times nothing, requests in flight would not count.
_LEAST = 0.0001


@dataclass(frozen=True, slots=True)
class PeakEwmaOptions:
    """decay: seconds until 1/e of a figure is left. penalty: a failure counts as so many times the figure.

    most: seconds beyond which failures make no figure grow.
    """

    decay: float = 10.0
    penalty: float = 4.0
    most: float = 10.0


class PeakEwma:
    """The response time of one server: an average weighted by age, which a slower response lifts at once.

    While nothing comes in the figure falls, so that a server that was slow, or failed, is tried again.
    A failure that is quick must not look like a quick response: it multiplies the figure. Being relative, one
    failure among many responses costs a server part of its traffic for a few seconds, a row of them all.
    All times are of one clock that never goes back, in seconds.
    """

    __slots__ = ("_figure", "_options", "_since")

    def __init__(self, options: PeakEwmaOptions = PeakEwmaOptions()) -> None:
        self._options = options
        self._figure: float | None = None
        self._since = 0.0

    def add(self, seconds: float, now: float) -> None:
        """A response came, its first byte after so many seconds."""
        figure, seconds = self._figure, max(seconds, _LEAST)
        if figure is None or seconds >= figure:
            self._figure = seconds
        else:
            kept = exp((self._since - now) / self._options.decay)
            self._figure = seconds + (figure - seconds) * kept
        self._since = now

    def fail(self, seconds: float, now: float) -> None:
        """It failed after so many seconds: no connection, no response, or one that counts as a failure."""
        figure = self._figure
        if figure is None:
            self._figure = max(UNTRIED, seconds)
        else:
            # Of the figure as it was, not as it has fallen since: else few failures would hardly count.
            options = self._options
            self._figure = max(figure, seconds, min(figure * options.penalty, options.most))
        self._since = now

    def at(self, now: float) -> float | None:
        """Seconds; None while nothing is known."""
        figure = self._figure
        return None if figure is None else figure * exp((self._since - now) / self._options.decay)
