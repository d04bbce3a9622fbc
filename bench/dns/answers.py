"""Topics that compare what an answer costs: a thousand names, ten thousand, and with every feature on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

from admin import Scraper
from gslb_servers import Setting, entrant, is_compiled
from measure import Load, Round, Summary
from processes import UnavailableError, free_port, tell
from servers import GDNSD, PEERS
from session import Entrant, Session
from world import names

FEW, MANY = 1_000, 10_000
"""Names."""

Row = dict[str, Any]


def answers(session: Session) -> list[Row]:
    """Repeated and made answers of all servers, without and with cookies."""
    with ExitStack() as stack:
        servers = (session.echo(), *PEERS, *session.both(Setting()))
        entrants = session.enter(stack, "answers", servers, names(FEW))
        load = session.load(FEW)
        with_cookies = [each for each in entrants if each.cookie]
        return [
            *in_turns(session, "1,000 names", entrants, lambda _: load),
            *in_turns(session, "one name", entrants, lambda _: replace(load, names=1)),
            *in_turns(
                session,
                "1,000 names, cookies",
                with_cookies,
                lambda each: replace(load, cookie=each.cookie),
            ),
        ]


def features(session: Session) -> list[Row]:
    """Everything on at once: cookies good and new, responses counted, health in Redis, metrics being read."""
    with ExitStack() as stack:
        ports = [free_port(), free_port()]
        servers = [
            session.both(Setting(redis=session.redis, admin=port))[index] for index, port in enumerate(ports)
        ]
        entrants = session.enter(stack, "features", (GDNSD, *servers), names(FEW))
        for server, port in zip(servers, ports, strict=True):
            if any(each.server is server for each in entrants):
                stack.enter_context(Scraper(port))
        load = replace(session.load(FEW), new_clients=2)
        return list(
            in_turns(session, "all features", entrants, lambda each: replace(load, cookie=each.cookie))
        )


def services(session: Session) -> list[Row]:
    """Ten thousand names: all alike, and, of gslb, every one with its own TTL and order of regions."""
    load = session.load(MANY)
    rows: list[Row] = []
    with ExitStack() as stack:
        servers = (*PEERS, *session.both(Setting()))
        entrants = session.enter(stack, "services", servers, names(MANY))
        rows += in_turns(session, "10,000 names", entrants, lambda _: load)
    with ExitStack() as stack:
        server = entrant(Setting(differing=True), plain=not is_compiled(), cache=session.cache)
        entrants = session.enter(stack, "differing services", [server], names(MANY))
        rows += in_turns(session, "10,000 names, no two alike", entrants, lambda _: load)
    return rows


def in_turns(
    session: Session, workload: str, entrants: Sequence[Entrant], load: Callable[[Entrant], Load]
) -> Iterator[Row]:
    """Ask all of them in turns. Who fails is asked no more, and counts as skipped."""
    effort = session.effort
    rounds: dict[str, list[Round]] = {each.server.name: [] for each in entrants}
    taking_part = list(entrants)
    for turn in range(effort.rounds + 1):
        tell(f"{workload}: " + (f"round {turn} of {effort.rounds}" if turn else "warming up"))
        for each in list(taking_part):
            try:
                result = session.round(each, load(each), effort.seconds if turn else effort.warm_up)
            except UnavailableError as reason:
                session.skip(workload, each.server.name, reason)
                taking_part.remove(each)
                continue
            if turn:
                rounds[each.server.name].append(result)
    summaries = {name: Summary.of(measured) for name, measured in rounds.items() if measured}
    reference = summaries.get(GDNSD.name)
    for name, summary in summaries.items():
        yield {
            "workload": workload,
            "server": name,
            **asdict(summary),
            "times_gdnsd": summary.cpu_us / reference.cpu_us if reference else None,
            "rounds": [asdict(each) for each in rounds[name]],
        }
