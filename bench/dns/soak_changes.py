"""What goes on while a node is soaked: its file changes, its database is replaced, regions come and go."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from admin import Admin
from gslb_servers import Setting, write_fleet
from servers import Place
from truth import Truth
from world import REGIONS

from gslb.clock import SystemClock, iso
from gslb.config import load
from gslb.geo.database import Database
from gslb.store.oneshot import clear_override, set_override
from gslb.world import Override, OverrideKind

TAKEN_UP_WITHIN = 120.0
"""Seconds that a node has to serve from a replaced database."""

TTLS = range(6, 12)
"""Seconds; so short that the answer's TTL is what the file says, and not what follows from the probes."""

REDIS_PATIENCE = 30.0
"""Seconds that the operator waits for Redis, who is not the one that is tested."""

_BY = "soak"


class Changer:
    """Does something again and again in a thread of its own, within `with`.

    change: does it once; raises whatever speaks against the node, which becomes one of `problems`.
    every: seconds from the end of one to the beginning of the next.
    """

    def __init__(self, name: str, change: Callable[[], None], every: float) -> None:
        self.name = name
        self.done = 0
        self.slowest = 0.0
        self.problems: list[str] = []
        self._change, self._every = change, every
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Changer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Return when the change at hand is done."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            began = time.monotonic()
            try:
                self._change()
                self.done += 1
            except Exception as error:
                self.problems.append(f"{self.name}: {type(error).__name__}: {error}")
            self.slowest = max(self.slowest, time.monotonic() - began)


class Reloads:
    """Changes the file, in turns: another TTL of `www`, a service more, that service gone again."""

    def __init__(self, place: Place, setting: Setting, truth: Truth) -> None:
        self._place, self._setting, self._truth = place, setting, truth
        assert setting.admin is not None
        self._admin = Admin(setting.admin)
        self._turn = 0

    def change(self) -> None:
        turn, self._turn = self._turn, self._turn + 1
        if turn % 3 == 0:
            history_done = self._begin_ttl(TTLS[turn // 3 % len(TTLS)])
        else:
            history_done = self._begin_service(f"fresh{turn}" if turn % 3 == 1 else None)
        write_fleet(self._place, self._setting)
        outcome = self._admin.reload()
        # The node may have been quicker than the request: it watches the file.
        if outcome.get("status") not in ("changed", "unchanged"):
            raise ValueError(f"a sound file was refused: {outcome}")
        history_done(time.monotonic())

    def _begin_ttl(self, ttl: int) -> Callable[[float], None]:
        self._setting = replace(self._setting, ttl=ttl)
        self._truth.ttl.begin(ttl, time.monotonic())
        return self._truth.ttl.done

    def _begin_service(self, name: str | None) -> Callable[[float], None]:
        self._setting = replace(self._setting, extra=(name,) if name is not None else ())
        self._truth.fresh.begin(name, time.monotonic())
        return self._truth.fresh.done


class Databases:
    """Replaces the database by the other one, and waits until the node serves from it."""

    def __init__(self, live: Path, others: Sequence[Path], admin: int, stopping: Callable[[], bool]) -> None:
        self._live, self._others = live, others
        self._built = [iso(Database(other).metadata.build_epoch) for other in others]
        self._admin = Admin(admin)
        self._stopping = stopping
        self._turn = 0

    def change(self) -> None:
        turn = self._turn % len(self._others)
        self._turn += 1
        fresh = self._live.with_suffix(".new")
        shutil.copyfile(self._others[turn], fresh)
        os.replace(fresh, self._live)
        deadline = time.monotonic() + TAKEN_UP_WITHIN
        while not any(self._built[turn] in line for line in self._admin.state()["geo"]):
            if self._stopping():
                return
            if time.monotonic() > deadline:
                raise ValueError(f"a replaced database is not in use after {TAKEN_UP_WITHIN:.0f} s")
            time.sleep(0.5)


class Flips:
    """Has an operator, elsewhere, force a region down, and take that back; one region after another."""

    def __init__(self, file: Path, truth: Truth, seed: int) -> None:
        fleet = load(file)
        self._fleet = replace(fleet, redis=replace(fleet.redis, timeout=REDIS_PATIENCE))
        self._truth = truth
        self._random = random.Random(seed)
        self._down: str | None = None

    def change(self) -> None:
        if self._down is None:
            region = self._random.choice(REGIONS).name
            self._told(region, up=False)
            self._down = region
        else:
            self._told(self._down, up=True)
            self._down = None

    def _told(self, region: str, *, up: bool) -> None:
        clock = SystemClock()
        history = self._truth.up[region]
        history.begin(up, time.monotonic())
        if up:
            asyncio.run(clear_override(self._fleet, clock, region, _BY))
        else:
            override = Override(region, OverrideKind.FORCED_DOWN, _BY, "", clock.now(), None)
            asyncio.run(set_override(self._fleet, clock, override))
        history.done(time.monotonic())
