"""What is simulated: the servers of a pool, what they are asked, and how chance is drawn for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from math import inf
from random import Random


class Tail(StrEnum):
    """How much the work of requests differs, around the same mean.

    CONSTANT: not at all. EXPONENTIAL: as queues in books have it. LOGNORMAL: one request in a hundred is ten
    times the mean. PARETO: most are small, and the largest are some hundred times the mean.
    """

    CONSTANT = "constant"
    EXPONENTIAL = "exponential"
    LOGNORMAL = "lognormal"
    PARETO = "pareto"


@dataclass(frozen=True, slots=True)
class SimulatedServer:
    """workers: requests that it works on at a time; others wait at the server, in order.

    slowness: a request takes it so many times the load's mean. failing: the share of its requests, 0 to 1,
    that fail at once. most: requests of one edge that it may have, infinite for no bound. leaves: whether it
    gets nothing any more once `Load.leaving_after` requests have come.
    """

    name: str
    weight: int = 1
    workers: int = 4
    slowness: float = 1.0
    failing: float = 0.0
    most: float = inf
    backup: bool = False
    leaves: bool = False

    def capacity(self, mean: float) -> float:
        """Requests per second that it can answer, if one takes so many seconds; those that fail count for
        nothing."""
        return self.workers / (mean * self.slowness) * (1 - self.failing)


@dataclass(frozen=True, slots=True)
class Load:
    """rate: requests per second, at random times, of all clients. mean: seconds that a request takes.

    clients: how many there are. skew: the client at place n of them sends 1/n**skew as much as the first
    (Zipf); 0: all the same. edges: how many divide the requests among them, and know nothing of each other's.
    leaving_after: how many requests come before the servers that leave do so.
    """

    servers: tuple[SimulatedServer, ...]
    rate: float
    requests: int = 100_000
    mean: float = 0.02
    tail: Tail = Tail.LOGNORMAL
    clients: int = 10_000
    skew: float = 0.8
    edges: int = 1
    leaving_after: int = 0
    seed: int = 1


def rate_for(servers: Sequence[SimulatedServer], utilisation: float, mean: float) -> float:
    """Requests per second that keep this share of what the servers can do in use; backups do not count."""
    return utilisation * sum(
        server.capacity(mean) for server in servers if server.weight > 0 and not server.backup
    )


_SIGMA = 1.5
_SHAPE = 2.2

_DRAW: Mapping[Tail, Callable[[Random], float]] = {
    Tail.CONSTANT: lambda random: 1.0,
    Tail.EXPONENTIAL: lambda random: random.expovariate(1),
    Tail.LOGNORMAL: lambda random: random.lognormvariate(-_SIGMA * _SIGMA / 2, _SIGMA),
    Tail.PARETO: lambda random: random.paretovariate(_SHAPE) * (_SHAPE - 1) / _SHAPE,
}
"""The work of one request; 1 on average."""


@dataclass(frozen=True, slots=True)
class Course:
    """Everything that happens from outside, a place for each request, and the same for every method.

    at: seconds. work: seconds that it takes a server of slowness 1. keys: its client. edges: which one it
    comes to. luck: it fails at servers whose `failing` is above this.
    """

    at: Sequence[float]
    work: Sequence[float]
    keys: Sequence[str]
    edges: Sequence[int]
    luck: Sequence[float]


def course(load: Load) -> Course:
    """Draw it; the same load, seed included, gives the same. Each column is drawn for itself, so that other
    clients, say, do not come at other times."""
    count = load.requests
    arrivals, work, clients, edges, luck = (
        Random(f"{load.seed} {column}") for column in ("arrivals", "work", "clients", "edges", "luck")
    )
    names = [f"client {number}" for number in range(1, load.clients + 1)]
    popularity = list(accumulate(number**-load.skew for number in range(1, load.clients + 1)))
    draw = _DRAW[load.tail]
    return Course(
        at=list(accumulate(arrivals.expovariate(load.rate) for _ in range(count))),
        work=[load.mean * draw(work) for _ in range(count)],
        keys=clients.choices(names, cum_weights=popularity, k=count),
        edges=[edges.randrange(load.edges) for _ in range(count)],
        luck=[luck.random() for _ in range(count)],
    )
