"""What does a proxied request cost an edge? gslb-edge beside nginx, HAProxy, Envoy and Caddy.

Run from the checkout: `python bench/edge/run.py --help`. The main figure is CPU microseconds of the server
per request, over all its processes; requests per second depend on whatever shares the machine, and on
whether the load and the backends, which share a core, can follow. The servers of a topic run at the same
time, each with one worker, pinned to one core, and are asked in turns, so that a busy moment of the machine
meets them all.

A C program asks, and looks at status and length of every response; another one is each of the three
backends; a third one, `forwarder`, copies bytes without understanding them: the floor. All is on the
loopback. Before it is measured a server must give the right bodies and fields, keep connections, and use
all backends. What is not installed is skipped with a sentence: apt-get install gcc nginx haproxy caddy wrk
openssl (Debian 12). Debian starts services when it installs them; stop them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "rig"))

from bodies import bodies
from encrypted import tls
from gslb_edge import GSLB
from idle import idle
from latency import latency
from place import MOST_CLIENTS
from processes import Cores, UnavailableError, compiled, free_port, program, running, tell
from report import document_of, tables
from servers import PEERS
from session import Effort, Row, Session
from small import connections, small, varied

BACKENDS = 3
TOPICS: dict[str, tuple[str, Callable[[Session], list[Row]]]] = {
    "small": ("Small responses", small),
    "varied": ("Ever different requests", varied),
    "bodies": ("Bodies", bodies),
    "connections": ("A connection for every request", connections),
    "idle": ("Memory of idle connections", idle),
    "latency": ("Latency at a constant rate", latency),
    "tls": ("TLS", tls),
}
ENTRANTS = ("forwarder", *(peer.name for peer in PEERS), GSLB.name)
_HERE = Path(__file__).resolve().parent
_TITLE, _, _ABOUT = (__doc__ or "").partition("\n\n")


def main() -> int:
    options = _options()
    busy_before = os.getloadavg()[0]
    random.seed(options.seed)
    # To be ended is to be interrupted: whatever was started goes as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    allow_many_files()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-edge-")))
        # Workers that are not root's must find their files.
        folder.chmod(0o755)
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
    parser = argparse.ArgumentParser(
        description=_TITLE, epilog=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--topics", nargs="+", choices=list(TOPICS), default=list(TOPICS), help="only these")
    parser.add_argument("--servers", nargs="+", choices=ENTRANTS, default=ENTRANTS, help="only these")
    parser.add_argument("--rounds", type=_at_least_one, default=3, help="rounds, of which the median counts")
    parser.add_argument(
        "--seconds", type=_positive, default=2.0, help="how long a server is asked in a round"
    )
    parser.add_argument("--warm-up", type=_positive, default=1.0, help="seconds before, not measured")
    parser.add_argument("--connections", type=_at_least_one, default=64, help="keep-alive connections")
    parser.add_argument(
        "--idle", type=_many, default=5_000, help="idle connections, whose memory is measured"
    )
    parser.add_argument("--seed", type=int, default=1, help="of what varies in requests")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print a document with every round")
    form.add_argument("--markdown", action="store_true", help="print tables for docs/performance.md")
    return parser.parse_args()


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError("must be above 0, and 3600 at most")
    return value


def _at_least_one(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 4096:
        raise argparse.ArgumentTypeError("must be 1 to 4096")
    return value


def _many(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MOST_CLIENTS - 100:
        raise argparse.ArgumentTypeError(f"must be 1 to {MOST_CLIENTS - 100}")
    return value


def allow_many_files() -> None:
    """Raise the limit of open files as far as it goes, for us and for all that is started."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _session(stack: ExitStack, folder: Path, options: argparse.Namespace) -> Session:
    cores = Cores.of_this_machine()
    generator, floor, backend = (
        compiled(_HERE / f"{name}.c", folder) for name in ("generator", "forwarder", "backend")
    )
    backends = tuple(free_port() for _ in range(BACKENDS))
    for number, port in enumerate(backends):
        command = [str(backend), str(port), f"backend-{number}"]
        stack.enter_context(running(command, folder / f"backend-{number}.log", cores.generator))
    try:
        wrk = program("wrk", "wrk")
    except UnavailableError:
        wrk = None
    return Session(
        folder=folder,
        cores=cores,
        generator=generator,
        floor=floor,
        backends=backends,
        chosen=options.servers,
        effort=Effort(
            options.rounds, options.seconds, options.warm_up, options.connections, options.idle, options.seed
        ),
        wrk=wrk,
    )


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
