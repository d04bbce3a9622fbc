"""Does a node lose, mistake or hoard anything in an hour of load and change?

Run from the checkout: `python bench/dns/soak.py --seconds 3600 --load 0.5`. One node answers on one core; on
another one a generator asks at a share of what the node can answer, each answer counted and looked into, a
prober compares a sample with what is right at that moment, and everything that may change under a node does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "rig"))

from asking import wait_until_it_answers
from gslb_servers import Setting, entrant, is_compiled
from measure import Load, measured
from processes import (
    Cores,
    UnavailableError,
    accepting,
    compiled,
    free_port,
    redis_server,
    resident_megabytes,
    running,
    settled,
    tell,
)
from servers import Place
from soaking import Node, Soak
from world import Sample, bundled_database, names, samples, write_database

from gslb.geo.database import Database

HERE = Path(__file__).resolve().parent
SAMPLES = 500
WARMING_UP, SATURATING = 3.0, 4
"""Seconds for which the node is asked for all it can do, unmeasured and measured."""


def main() -> int:
    options = _options()
    random.seed(options.seed)
    cores = Cores.of_this_machine()
    os.sched_setaffinity(0, {cores.generator})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-dns-")))
        try:
            generator = compiled(HERE / "generator.c", folder)
            node, chosen = _started(stack, folder, options, cores)
            load = Load(options.names, 4096, look=1, patience=options.patience)
            rate = options.rate or options.load * _saturation(generator, node, options, cores)
        except UnavailableError as reason:
            print(f"nothing can be soaked: {reason}", file=sys.stderr)
            return 2
        tell(f"asking at {rate:,.0f} queries/s for {options.seconds:g} s")
        soak = Soak(node, chosen, options)
        findings = soak.run(load.at(rate), generator)
    failures = findings.failures()
    document = {**soak.summary(), "rate": rate, **asdict(findings), "failures": failures}
    print(json.dumps(document, indent=2) if options.json else "\n".join(_told(document)))
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="an hour of load and change, and what came of it")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--load", type=float, default=0.5, help="share of what the node can answer")
    parser.add_argument("--rate", type=float, default=0, help="queries a second, instead of --load")
    parser.add_argument(
        "--plain", action="store_true", help="the plain path, also where the loop is compiled"
    )
    parser.add_argument("--names", type=int, default=1000, help="services, at least 2")
    parser.add_argument("--coarse", action="store_true", help="databases of one network a /16: a quick start")
    parser.add_argument("--reload-every", type=float, default=20, help="seconds between changes of the file")
    parser.add_argument("--database-every", type=float, default=60, help="seconds between databases")
    parser.add_argument(
        "--flip-every", type=float, default=2, help="seconds between flips of a region's health"
    )
    parser.add_argument("--probes", type=float, default=50, help="answers compared with the truth, a second")
    parser.add_argument("--patience", type=float, default=1, help="seconds until a query is lost")
    parser.add_argument("--grace", type=float, default=1, help="seconds for which the answer before is right")
    parser.add_argument("--growth", type=float, default=20, help="MB an hour that memory may grow")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print a document at the end")
    return parser.parse_args()


def _started(
    stack: ExitStack, folder: Path, options: argparse.Namespace, cores: Cores
) -> tuple[Node, list[Sample]]:
    """A node that answers, and clients whose right answers are known."""
    tell("writing two databases")
    source = Database(bundled_database())
    first, second, live = folder / "first.mmdb", folder / "second.mmdb", folder / "live.mmdb"
    write_database(source, first, coarse=options.coarse)
    chosen = samples(Database(first), SAMPLES, options.seed)
    write_database(source, second, coarse=options.coarse, kept=chosen)
    live.write_bytes(first.read_bytes())
    redis = stack.enter_context(redis_server(folder, cores.generator))
    setting = Setting(redis=redis, admin=free_port())
    place = Place(folder / "node", free_port(), live, stack.enter_context(accepting()), names(options.names))
    place.folder.mkdir()
    server = entrant(setting, plain=options.plain or not is_compiled(), cache=folder / "cache")
    version, log = server.version(), place.folder / "log"
    command = server.prepare(place)
    process = stack.enter_context(running(command, log, cores.server, environment=server.environment))
    wait_until_it_answers(process, place.port, chosen[0], log)
    settled(process.pid, 120)
    tell(f"{server.name} {version} answers, {resident_megabytes(process.pid):.1f} MB")
    return Node(process, place, setting, live, (second, first), log), chosen


def _saturation(generator: Path, node: Node, options: argparse.Namespace, cores: Cores) -> float:
    """Answers a second of the node when it is asked for all it can do; the least of several seconds.

    What shares the machine now may share it later as well.
    """
    asked = partial(
        measured,
        generator,
        Load(options.names, 64),
        pid=node.process.pid,
        port=node.place.port,
        seed=options.seed,
        core=cores.generator,
    )
    asked(seconds=WARMING_UP)
    rates = [asked(seconds=1.0).answers_per_second for _ in range(SATURATING)]
    tell(f"it can answer {min(rates):,.0f} to {max(rates):,.0f} queries/s")
    return min(rates)


def _told(document: dict[str, Any]) -> list[str]:
    memory, changes, slowest = document["memory"], document["changes"], document["latency_most_ms"]
    lines = [
        f"{document['seconds']:,.0f} s at {document['rate']:,.0f} queries/s: {document['sent']:,} sent "
        f"({document['skipped']:,} left out), {document['lost']:,} lost, {document['bad']:,} errors; "
        f"slowest {slowest:.1f} ms",
        f"{document['sampled']:,} answers compared with the truth, {len(document['wrong']):,} wrong",
        ", ".join(
            f"{told['done']} {name} (slowest {told['slowest_seconds']} s)" for name, told in changes.items()
        ),
        f"RSS {memory['start_megabytes']:.1f} MB at first, {memory['most_megabytes']:.1f} at most, "
        f"{memory['end_megabytes']:.1f} at last; {memory['slope']:+.1f} MB an hour over the second half",
    ]
    return lines + ([f"FAILED: {failure}" for failure in document["failures"]] or ["passed"])


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
