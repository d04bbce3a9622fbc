"""What all topics of a run share, and how proxies enter: started, waited for, and seen to answer rightly."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from asking import see_that_it_answers_rightly, wait_until_it_answers
from gslb_edge import GSLB
from measure import Load, Round, Summary, measured
from place import Certificate, Place, Server
from processes import Cores, UnavailableError, free_port, tell
from servers import HAPROXY, NGINX, PEERS, forwarder
from trees import pin_all, serving

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long everything is measured. rounds: of which the median counts. Times in seconds."""

    rounds: int
    seconds: float
    warm_up: float
    connections: int
    idle: int
    seed: int


@dataclass(frozen=True, slots=True)
class Entrant:
    """A proxy that runs."""

    server: Server
    place: Place
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def name(self) -> str:
        return self.server.name


@dataclass(slots=True)
class Session:
    """backends: their ports. chosen: servers that take part, by name. wrk: its path, if it is installed.

    skipped: why what is missing in the results is missing.
    """

    folder: Path
    cores: Cores
    generator: Path
    floor: Path
    backends: tuple[int, ...]
    chosen: Sequence[str]
    effort: Effort
    wrk: str | None
    skipped: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def servers(self, *, with_floor: bool = True) -> Sequence[Server]:
        floor = (forwarder(self.floor),) if with_floor else ()
        return *floor, *PEERS, GSLB

    def load(self) -> Load:
        return Load(self.effort.connections)

    def skip(self, label: str, name: str, reason: object) -> None:
        self.skipped[f"{label}, {name}"] = str(reason)
        tell(f"{label}: {name} is skipped: {reason}")

    def enter(
        self, stack: ExitStack, label: str, servers: Sequence[Server], certificate: Certificate | None = None
    ) -> list[Entrant]:
        """Start them all at once; those that answer as they should. The others are skipped."""
        started = []
        for server in servers:
            if server.name in self.chosen:
                try:
                    started.append(self._started(stack, label, server, certificate))
                except UnavailableError as reason:
                    self.skip(label, server.name, reason)
        return [each for each in started if self._is_right(label, each)]

    def _started(
        self, stack: ExitStack, label: str, server: Server, certificate: Certificate | None
    ) -> Entrant:
        version = server.version()
        place = Place(self.folder / label / server.name, free_port(), self.backends, certificate)
        place.folder.mkdir(parents=True)
        command = server.prepare(place)
        log = place.folder / "log"
        # Whatever else a server keeps for its user stays out of the user's home.
        home = {"HOME": str(place.folder), "XDG_CONFIG_HOME": str(place.folder)}
        environment = {**home, **server.environment}
        process = stack.enter_context(serving(command, log, self.cores.server, environment))
        self.versions[server.name] = version
        return Entrant(server, place, process, log)

    def _is_right(self, label: str, entrant: Entrant) -> bool:
        place, tls = entrant.place, entrant.place.certificate is not None
        try:
            wait_until_it_answers(entrant.process, place.port, entrant.log, tls=tls)
            see_that_it_answers_rightly(place.port, len(place.backends), tls=tls)
        except UnavailableError as reason:
            self.skip(label, entrant.name, reason)
            return False
        pin_all(entrant.process.pid, self.cores.server)
        return True

    def round(self, entrant: Entrant, load: Load, seconds: float) -> Round:
        """One round of `load`; raises UnavailableError when nothing is answered."""
        return measured(
            self.generator,
            load,
            pid=entrant.process.pid,
            port=entrant.place.port,
            seconds=seconds,
            seed=random.getrandbits(32),
            core=self.cores.generator,
        )

    def in_turns(
        self, workload: str, entrants: Sequence[Entrant], measure: Callable[[Entrant, float], Round]
    ) -> dict[str, list[Round]]:
        """Measure all of them in turns, after warming up. Who fails is left out, and counts as skipped.

        measure: one of them, for so many seconds; may raise UnavailableError.
        """
        rounds: dict[str, list[Round]] = {each.name: [] for each in entrants}
        taking_part = list(entrants)
        for turn in range(self.effort.rounds + 1):
            tell(f"{workload}: " + (f"round {turn} of {self.effort.rounds}" if turn else "warming up"))
            for each in list(taking_part):
                try:
                    result = measure(each, self.effort.seconds if turn else self.effort.warm_up)
                except UnavailableError as reason:
                    self.skip(workload, each.name, reason)
                    taking_part.remove(each)
                    continue
                if turn:
                    rounds[each.name].append(result)
        return {name: results for name, results in rounds.items() if results}

    def compared(
        self, workload: str, entrants: Sequence[Entrant], measure: Callable[[Entrant, float], Round]
    ) -> Iterator[Row]:
        """The same as rows that tell what a request costs, beside nginx and HAProxy."""
        rounds = self.in_turns(workload, entrants, measure)
        summaries = {name: Summary.of(results) for name, results in rounds.items()}
        for name, summary in summaries.items():
            times = {
                f"times_{peer.name}": summary.cpu_us / summaries[peer.name].cpu_us
                if peer.name in summaries
                else None
                for peer in (HAPROXY, NGINX)
            }
            yield {
                "workload": workload,
                "server": name,
                **asdict(summary),
                **times,
                "rounds": [asdict(each) for each in rounds[name]],
            }
