"""A region that fails and returns again and again, and how long answers lag behind it."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from admin import Admin
from probing import Probe
from processes import UnavailableError


@dataclass(frozen=True, slots=True)
class Flip:
    """A region's going down, or its return. asked: when the node was told; visible: when it said it knew.

    Moments are those of time.monotonic().
    """

    region: str
    down: bool
    asked: float
    visible: float


@dataclass(frozen=True, slots=True)
class Lag:
    """How far answers were behind, in ms. effect: from the word to the last answer of before, at worst.

    stale: the same from when the node said that it knew; 0 if no answer of before came any more.
    """

    flips: int
    effect_ms: float
    stale_ms: float
    compared: int

    @classmethod
    def of(cls, flips: Sequence[Flip], probes: Sequence[Probe], address: str) -> Lag:
        """address: that of the region, which every client of the probes is sent to while it is up."""
        effect = stale = 0.0
        at = 0
        ordered = sorted(probes, key=lambda probe: probe.received_at)
        for number, flip in enumerate(flips):
            end = flips[number + 1].asked if number + 1 < len(flips) else float("inf")
            while at < len(ordered) and ordered[at].received_at < flip.asked:
                at += 1
            while at < len(ordered) and ordered[at].received_at < end:
                probe = ordered[at]
                if (probe.answer.address == address) is flip.down:
                    effect = max(effect, probe.received_at - flip.asked)
                    stale = max(stale, probe.received_at - flip.visible)
                at += 1
        return cls(len(flips), effect * 1000, stale * 1000, len(probes))


class Flipper:
    """Forces regions down and clears them, in turns, through a node's admin side, within `with`.

    choose: the region to force down next. every: seconds between two flips.
    """

    def __init__(self, admin: int, choose: Callable[[], str], every: float) -> None:
        self.flips: list[Flip] = []
        self._admin, self._choose, self._every = Admin(admin), choose, every
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flipper", daemon=True)
        self._failure: Exception | None = None

    def __enter__(self) -> Flipper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def told(self) -> Sequence[Flip]:
        """All flips, once it is over; raises UnavailableError if the node took no word any more."""
        if self._failure is not None:
            raise UnavailableError(f"no flip any more: {self._failure}")
        return self.flips

    def _run(self) -> None:
        try:
            self._flip()
        except (UnavailableError, OSError, http.client.HTTPException) as error:
            self._failure = error

    def _flip(self) -> None:
        down: str | None = None
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._every, time.monotonic())
            region = down or self._choose()
            asked = time.monotonic()
            if down is None:
                self._admin.force_down(region)
            else:
                self._admin.clear(region)
            self.flips.append(Flip(region, down is None, asked, time.monotonic()))
            down = region if down is None else None
        if down is not None:
            with suppress(OSError, http.client.HTTPException):
                self._admin.clear(down)
