"""What all topics of a run share, and how servers enter: started, waited for, and seen to answer rightly."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from asking import cookie_of, wait_until_it_answers, wrong_answers
from gslb_servers import Setting, variants
from measure import Load, Round, measured
from processes import Cores, UnavailableError, free_port, pin, running, settled, tell
from servers import Place, Server, echo
from world import WWW, Sample

SETTLING = 120.0
"""Seconds that a server has for what it does after it began to answer, such as a map of the networks."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long everything is measured. rounds: of which the median counts. Times in seconds."""

    rounds: int
    seconds: float
    warm_up: float
    outstanding: int
    seed: int


@dataclass(frozen=True, slots=True)
class Entrant:
    """A server that runs. cookie: what it gave us; empty if it gives none."""

    server: Server
    place: Place
    process: subprocess.Popen[bytes]
    log: Path
    cookie: bytes = b""


@dataclass(slots=True)
class Session:
    """probed: a TCP port that accepts. cache: where gslb keeps network maps. redis: its URL, if there is one.

    chosen: servers that take part, by name. skipped: why what is missing in the results is missing.
    """

    folder: Path
    cores: Cores
    generator: Path
    floor: Path
    database: Path
    samples: Sequence[Sample]
    probed: int
    redis: str | None
    chosen: Sequence[str]
    effort: Effort
    cache: Path
    skipped: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def echo(self) -> Server:
        return echo(self.floor)

    def both(self, setting: Setting) -> Sequence[Server]:
        """gslb, compiled and plain."""
        return variants(setting, self.cache)

    def load(self, names: int) -> Load:
        return Load(names, self.effort.outstanding)

    def place(self, label: str, server: Server, names: tuple[str, ...]) -> Place:
        folder = self.folder / label.replace(" ", "-") / server.name
        place = Place(folder, free_port(), self.database, self.probed, names)
        place.folder.mkdir(parents=True)
        return place

    def skip(self, label: str, name: str, reason: object) -> None:
        self.skipped[f"{label}, {name}"] = str(reason)
        tell(f"{label}: {name} is skipped: {reason}")

    def enter(
        self,
        stack: ExitStack,
        label: str,
        servers: Sequence[Server],
        names: tuple[str, ...],
        samples: Sequence[Sample] | None = None,
    ) -> list[Entrant]:
        """Start them all at once; those that answer as they should. The others are skipped.

        samples: what is right, empty for not to look.
        """
        started = []
        for server in servers:
            if server.name in self.chosen:
                try:
                    started.append(self._started(stack, server, self.place(label, server, names)))
                except UnavailableError as reason:
                    self.skip(label, server.name, reason)
        return [
            entrant
            for each in started
            if (entrant := self._seen(label, each, self.samples if samples is None else samples)) is not None
        ]

    def _started(self, stack: ExitStack, server: Server, place: Place) -> Entrant:
        self.versions[server.name] = server.version()
        log = place.folder / "log"
        cores = (self.cores.server, self.cores.generator)
        process = stack.enter_context(
            running(server.prepare(place), log, *cores, environment=server.environment)
        )
        return Entrant(server, place, process, log)

    def _seen(self, label: str, entrant: Entrant, samples: Sequence[Sample]) -> Entrant | None:
        """Wait until a server answers, and compare; then it has the core of those that are measured."""
        server, place, process = entrant.server, entrant.place, entrant.process
        try:
            wait_until_it_answers(process, place.port, self.samples[0], entrant.log)
            settled(process.pid, SETTLING)
            pin(process.pid, self.cores.server)
            if not server.answers:
                return entrant
            wrong = wrong_answers(place.port, (*place.names[::97], WWW), samples)
            if wrong:
                raise UnavailableError(f"{len(wrong)} of {len(samples)} answers are wrong; {wrong[0]}")
        except UnavailableError as reason:
            self.skip(label, server.name, reason)
            return None
        cookie = cookie_of(place.port, self.samples[0])
        return Entrant(server, place, process, entrant.log, cookie)

    def round(self, entrant: Entrant, load: Load, seconds: float) -> Round:
        """One round of `load`; raises UnavailableError when nothing is answered."""
        return measured(
            self.generator,
            load if entrant.server.answers else replace(load, look=0),
            pid=entrant.process.pid,
            port=entrant.place.port,
            seconds=seconds,
            seed=random.getrandbits(32),
            core=self.cores.generator,
        )
