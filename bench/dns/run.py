"""What does an answer by location cost a name server? gslb beside gdnsd, Knot DNS and PowerDNS.

Run from the checkout: `make bench-dns`, or `python bench/dns/run.py --help`. The main figure is CPU
microseconds of the server per answer; answers per second depend on whatever shares the machine. All servers
run throughout, one at a time is asked, in turns, so that a busy moment of the machine meets them all.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from measure import (
    Cores,
    Entrant,
    Load,
    compiled,
    cookie_of,
    free_port,
    measured,
    running,
    wait_until_it_answers,
    wrong_answers,
)
from report import WORKLOADS, document_of, table
from servers import GSLB, PEERS, Place, Server, UnavailableError, echo
from world import NAMES, WWW, Sample, bundled_database, samples, write_database

from gslb.geo.database import Database

SAMPLES = 300
"""Client networks that every server is asked for before it is measured."""


def main() -> int:
    options = _options()
    busy_before = os.getloadavg()[0]
    random.seed(options.seed)
    cores = Cores.of_this_machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-dns-")))
        try:
            generator, floor = compiled("generator", folder), compiled("echo", folder)
        except UnavailableError as missing:
            print(f"nothing can be measured: {missing}", file=sys.stderr)
            return 1
        _tell("writing the database that all of them read")
        source = Database(bundled_database())
        database = folder / "city.mmdb"
        write_database(source, database)
        chosen = samples(source, SAMPLES, options.seed)
        probed = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
        skipped: dict[str, str] = {}
        entrants: list[Entrant] = []
        for server in (echo(floor), *PEERS, GSLB):
            if server.name not in options.servers:
                continue
            place = Place(folder / "servers" / server.name, free_port(), database, probed.getsockname()[1])
            try:
                entrants.append(_entered(stack, server, place, chosen, cores))
            except UnavailableError as reason:
                skipped[server.name] = str(reason)
                _tell(f"{server.name} is skipped: {reason}")
        _measure(entrants, skipped, generator, options, cores)
    document = document_of(entrants, skipped, options, cores, busy_before)
    print(json.dumps(document, indent=2) if options.json else "\n".join(table(document)))
    return 0 if document["results"] else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU time per answer of gslb and its peers")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long one server is asked in a round")
    parser.add_argument("--warm-up", type=float, default=2.0, help="seconds of the same before, not measured")
    parser.add_argument("--outstanding", type=int, default=64, help="queries under way at a time, 1 to 1024")
    names = ["echo", *(peer.name for peer in PEERS), GSLB.name]
    parser.add_argument("--servers", nargs="+", choices=names, default=names, help="only these")
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--seed", type=int, default=1, help="of the names and the client networks")
    parser.add_argument("--json", action="store_true", help="print a document with every round")
    return parser.parse_args()


def _tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def _entered(
    stack: ExitStack, server: Server, place: Place, chosen: Sequence[Sample], cores: Cores
) -> Entrant:
    """Start a server and see that it answers as it should; raises UnavailableError when it does not."""
    version = server.version()
    place.folder.mkdir(parents=True)
    command = server.prepare(place)
    log = place.folder / "log"
    process = stack.enter_context(running(command, log, cores.server))
    entrant = Entrant(server, version, process, place.port)
    wait_until_it_answers(process, place.port, chosen[0], log)
    if server.answers:
        wrong = wrong_answers(place.port, (*NAMES[::97], WWW), chosen)
        if wrong:
            raise UnavailableError(f"{len(wrong)} of {len(chosen)} answers are wrong; {wrong[0]}")
        entrant.cookie = cookie_of(place.port, chosen[0])
    _tell(f"{server.name} {version} runs" + (", and answers as it should" if server.answers else ""))
    return entrant


def _measure(
    entrants: list[Entrant],
    skipped: dict[str, str],
    generator: Path,
    options: argparse.Namespace,
    cores: Cores,
) -> None:
    """Ask all of them in turns. Who fails is asked no more, and counts as skipped."""
    for workload in options.workloads:
        if not any(_takes_part(entrant, workload) for entrant in entrants):
            continue
        for turn in range(options.rounds + 1):
            _tell(f"{workload}: " + (f"round {turn} of {options.rounds}" if turn else "warming up"))
            for entrant in [entrant for entrant in entrants if _takes_part(entrant, workload)]:
                seconds = options.seconds if turn else options.warm_up
                load = _load(entrant, workload, options.outstanding)
                try:
                    result = measured(entrant, generator, load, seconds, random.getrandbits(32), cores)
                except UnavailableError as reason:
                    skipped[entrant.server.name] = f"{workload}: {reason}"
                    entrants.remove(entrant)
                    continue
                if turn:
                    entrant.rounds.setdefault(workload, []).append(result)


def _takes_part(entrant: Entrant, workload: str) -> bool:
    return bool(entrant.cookie) if workload == "cookies" else True


def _load(entrant: Entrant, workload: str, outstanding: int) -> Load:
    names = 1 if workload == "one name" else len(NAMES)
    return Load(names, outstanding, entrant.cookie if workload == "cookies" else b"")


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
