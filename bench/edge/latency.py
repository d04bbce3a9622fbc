"""Topic: how long responses take at half of what each server can answer, asked at a constant rate."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from statistics import median

from measure import Round
from processes import UnavailableError
from session import Entrant, Row, Session

SHARE = 0.5
"""Of the requests per second that the server answered when it was asked for as many as it could."""


def latency(session: Session) -> list[Row]:
    """Times count from the moment when a request was due, so that a stall is met by all that it delays."""
    with ExitStack() as stack:
        entrants = session.enter(stack, "latency", session.servers())
        capacity = {}
        for each in list(entrants):
            try:
                session.round(each, session.load(), session.effort.warm_up)
                capacity[each.name] = session.round(each, session.load(), session.effort.seconds).per_second
            except UnavailableError as reason:
                session.skip("latency", each.name, reason)
                entrants.remove(each)

        def measure(each: Entrant, seconds: float) -> Round:
            return session.round(each, session.load().at(SHARE * capacity[each.name]), seconds)

        found = session.in_turns("latency at half of the capacity", entrants, measure)
        rows = [_row(name, SHARE * capacity[name], rounds) for name, rounds in found.items()]
        # The same rate for all shows more than each one's own, where the slowest is not far too slow.
        least = SHARE * min((capacity[name] for name in found), default=0)

        def measure_alike(each: Entrant, seconds: float) -> Round:
            return session.round(each, session.load().at(least), seconds)

        entrants = [each for each in entrants if each.name in found]
        alike = session.in_turns("latency at the same rate", entrants, measure_alike)
        return [
            *({"workload": "at half of each one's capacity", **row} for row in rows),
            *(
                {"workload": "at half of the slowest one's capacity", **_row(name, least, rounds)}
                for name, rounds in alike.items()
            ),
        ]


def _row(name: str, rate: float, rounds: list[Round]) -> Row:
    return {
        "server": name,
        "rate": rate,
        "p50_ms": _median(rounds, "p50_ms"),
        "p99_ms": _median(rounds, "p99_ms"),
        "p999_ms": _median(rounds, "p999_ms"),
        "most_ms": max(asdict(each)["most_ms"] for each in rounds),
        "cpu_us": median(each.cpu_us for each in rounds),
        "unsent": sum(each.unsent for each in rounds),
        "faults": sum(each.faults + each.lost for each in rounds),
        "rounds": [asdict(each) for each in rounds],
    }


def _median(rounds: list[Round], name: str) -> float:
    return median(float(getattr(each, name)) for each in rounds)
