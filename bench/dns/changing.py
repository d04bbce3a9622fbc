"""Topics about change: a region that flips ten times a second, and fleets of up to a thousand regions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from answers import FEW, in_turns
from asking import wrong_answers
from flipping import Flipper, Lag
from gslb_servers import Setting
from probing import Probe, Prober
from processes import UnavailableError, free_port, tell
from session import Entrant, Session
from world import REGIONS, WWW, Sample, names, nearest_samples, random_regions

from gslb.geo.database import Database

FLIP_EVERY = 0.1
PROBE_EVERY = 0.001
FLIPPED = REGIONS[2]
"""Its clients are sent to another region while it is down, and nobody's by default."""

REGION_COUNTS = (10, 100, 1_000)
REGION_FLIP_EVERY = 0.5
CLIENTS = 100
"""Whose nearest region is looked up the slow way, to compare."""

MODERATE = 0.2
"""The share of what a node can answer that it is asked for while the slowest answer is looked for."""

Row = dict[str, Any]


def flips(session: Session) -> list[Row]:
    """One region of three flips while as much is asked as is answered, and a prober asks every ms."""
    if session.redis is None:
        session.skip("flips", "gslb", "there is no Redis-compatible server")
        return []
    rows: list[Row] = []
    for number in range(2):
        admin = free_port()
        server = session.both(Setting(redis=session.redis, admin=admin))[number]
        with ExitStack() as stack:
            for entrant in session.enter(stack, "flips", [server], names(FEW)):
                try:
                    rows.append(_flipped(session, entrant, admin))
                except UnavailableError as reason:
                    session.skip("flips", server.name, reason)
    return rows


def _flipped(session: Session, entrant: Entrant, admin: int) -> Row:
    quiet = next(iter(in_turns(session, "flips, none yet", [entrant], lambda _: session.load(FEW))))
    tell(f"flips: {entrant.server.name}")
    clients = [sample for sample in session.samples if sample.expected == FLIPPED.address]
    probes: list[Probe] = []
    prober = Prober(
        entrant.place.port,
        lambda: (random.choice(entrant.place.names), random.choice(clients)),
        probes.append,
        interval=PROBE_EVERY,
        patience=1.0,
    )
    seconds = session.effort.seconds * session.effort.rounds
    with Flipper(admin, lambda: FLIPPED.name, FLIP_EVERY) as flipper, prober:
        busy = session.round(entrant, session.load(FEW), seconds)
    if prober.failure is not None:
        raise UnavailableError(f"the prober failed: {prober.failure!r}")
    lag = Lag.of(flipper.told(), probes, FLIPPED.address)
    return {
        "server": entrant.server.name,
        "cpu_us_quiet": quiet["cpu_us"],
        "cpu_us": busy.cpu_us,
        "answers_per_second": busy.answers_per_second,
        "lost": busy.lost + prober.lost,
        "bad": busy.bad,
        "flips_per_second": lag.flips / seconds,
        "stale_ms": lag.stale_ms,
        "effect_ms": lag.effect_ms,
        "probes": lag.compared,
    }


def more_regions(session: Session) -> list[Row]:
    """`nearest` among more and more regions: the first answers, repeated ones, and the slowest at a flip."""
    rows: list[Row] = []
    database = Database(str(session.database))
    for count in REGION_COUNTS:
        places = random_regions(count, session.effort.seed)
        regions = [place.name for place in places]
        label = f"{count} regions"
        right = nearest_samples(database, places, CLIENTS, session.effort.seed)
        for number in range(2):
            admin = free_port()
            setting = Setting(places, nearest=True, redis=session.redis, admin=admin)
            with ExitStack() as stack:
                server = session.both(setting)[number]
                # Nobody has asked yet when the first round begins: what is right is looked at after it.
                for entrant in session.enter(stack, label, [server], names(FEW), samples=()):
                    flipper = Flipper(admin, partial(random.choice, regions), REGION_FLIP_EVERY)
                    try:
                        row = _grown(session, label, entrant, right, flipper)
                        rows.append({"regions": count, "server": server.name, **row})
                    except UnavailableError as reason:
                        session.skip(label, server.name, reason)
    return rows


def _grown(session: Session, label: str, entrant: Entrant, right: Sequence[Sample], flipper: Flipper) -> Row:
    load = session.load(FEW)
    first = session.round(entrant, load, session.effort.seconds)
    wrong = wrong_answers(entrant.place.port, (WWW,), right)
    if wrong:
        raise UnavailableError(f"{len(wrong)} of {len(right)} answers are wrong; {wrong[0]}")
    warm = next(iter(in_turns(session, label, [entrant], lambda _: load)))
    moderate = load.at(MODERATE * warm["answers_per_second"])
    seconds = session.effort.seconds * 2
    quiet = session.round(entrant, moderate, seconds)
    with flipper:
        flipping = session.round(entrant, moderate, seconds)
    flips = len(flipper.told())
    return {
        "cpu_us_first": first.cpu_us,
        "cpu_us": warm["cpu_us"],
        "cpu_us_flipping": flipping.cpu_us,
        "answers_per_second": warm["answers_per_second"],
        "latency_quiet_ms": quiet.latency_most_ms,
        "latency_flipping_ms": flipping.latency_most_ms,
        "flips": flips,
        "lost": warm["lost"] + quiet.lost + flipping.lost,
        "bad": warm["faults"] + quiet.bad + flipping.bad,
    }
