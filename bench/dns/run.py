"""What do answers by location cost a name server? gslb beside gdnsd, Knot DNS and PowerDNS.

Run from the checkout: `make bench-dns`, or `python bench/dns/run.py --help`. The main figure is CPU
microseconds of the server per answer; answers per second depend on whatever shares the machine. The servers
of a topic run at the same time and are asked in turns, so that a busy moment of the machine meets them all.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "rig"))

from answers import answers, features, services
from changing import flips, more_regions
from processes import Cores, UnavailableError, accepting, compiled, redis_server, tell
from report import document_of, tables
from servers import PEERS
from session import Effort, Session
from starting import starting
from world import bundled_database, samples, write_database

from gslb.geo.database import Database

HERE = Path(__file__).resolve().parent
SAMPLES = 300
"""Client networks that every server is asked for before it is measured."""

TOPICS: dict[str, tuple[str, Callable[[Session], list[dict[str, Any]]]]] = {
    "answers": ("Answers", answers),
    "features": ("Everything on", features),
    "flips": ("A region that flips ten times a second", flips),
    "services": ("10,000 names", services),
    "regions": ("Ever more regions, the nearest one answers", more_regions),
    "start": ("Start and memory", starting),
}
ENTRANTS = ("echo", *(peer.name for peer in PEERS), "gslb", "gslb-plain")


def main() -> int:
    options = _options()
    busy_before = os.getloadavg()[0]
    random.seed(options.seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-dns-")))
        try:
            session = _session(stack, folder, options)
        except UnavailableError as missing:
            print(f"nothing can be measured: {missing}", file=sys.stderr)
            return 1
        topics = {}
        for name in options.topics:
            title, measure = TOPICS[name]
            began = time.monotonic()
            topics[name] = {"title": title, "rows": measure(session)}
            tell(f"{name}: done in {time.monotonic() - began:.0f} s")
    document = document_of(session, topics, busy_before)
    shown = "\n".join(tables(document, markdown=options.markdown))
    print(json.dumps(document, indent=2) if options.json else shown)
    return 0 if any(topic["rows"] for topic in topics.values()) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU time per answer of gslb and its peers")
    parser.add_argument("--topics", nargs="+", choices=list(TOPICS), default=list(TOPICS), help="only these")
    parser.add_argument("--servers", nargs="+", choices=ENTRANTS, default=ENTRANTS, help="only these")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long one server is asked in a round")
    parser.add_argument("--warm-up", type=float, default=2.0, help="seconds of the same before, not measured")
    parser.add_argument("--outstanding", type=int, default=64, help="queries under way at a time")
    parser.add_argument("--seed", type=int, default=1, help="of the names and the client networks")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print a document with every round")
    form.add_argument("--markdown", action="store_true", help="print tables for docs/performance.md")
    return parser.parse_args()


def _session(stack: ExitStack, folder: Path, options: argparse.Namespace) -> Session:
    cores = Cores.of_this_machine()
    generator, floor = (compiled(HERE / f"{name}.c", folder) for name in ("generator", "echo"))
    tell("writing the database that all of them read")
    source = Database(bundled_database())
    database = folder / "city.mmdb"
    write_database(source, database)
    try:
        redis = stack.enter_context(redis_server(folder, cores.generator))
    except UnavailableError as missing:
        tell(f"without Redis: {missing}")
        redis = None
    return Session(
        folder=folder,
        cores=cores,
        generator=generator,
        floor=floor,
        database=database,
        samples=samples(source, SAMPLES, options.seed),
        probed=stack.enter_context(accepting()),
        redis=redis,
        chosen=options.servers,
        effort=Effort(options.rounds, options.seconds, options.warm_up, options.outstanding, options.seed),
        cache=folder / "cache",
    )


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
