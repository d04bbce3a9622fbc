"""The less busy of two servers drawn by weight: nearly the least connections, whatever the pool's size."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import TypeVar

from edge.balance.base import Candidate, Method
from edge.balance.least_response_time import seconds_to_expect
from gslb.balancing import PowerOfTwoOptions

ServerT = TypeVar("ServerT", bound=Candidate)

_DEFAULTS = PowerOfTwoOptions()


class PowerOfTwo(Method[ServerT]):
    """Of two usable servers, each request goes to the one with fewer in flight for its weight.

    So a slow server fills up no further than others, while several edges that all see one server idle do not
    all rush at it. In flight is counted with the request to come, as in `LeastConnections`.
    A server that fails at once looks idle: it draws up to twice its share, unless response times count, too.
    State: the generator's only.
    """

    __slots__ = ("_bounds", "_cost", "_random", "_servers")

    def __init__(
        self,
        servers: Sequence[ServerT],
        options: PowerOfTwoOptions = _DEFAULTS,
        random: Random | None = None,
    ) -> None:
        """random: a generator with a seed makes the order repeatable; None: one of its own."""
        self._servers = tuple(servers)
        # A slow starter is drawn as often as later on, and loses most comparisons.
        self._bounds: list[float] = list(accumulate(server.full_weight for server in self._servers))
        self._cost: Callable[[ServerT], float] = seconds_to_expect if options.response_time else _connections
        self._random = random or Random()

    @property
    def timed(self) -> bool:
        return self._cost is seconds_to_expect

    def candidates(self, key: str, /) -> Iterator[ServerT]:
        drawn, cost = self._two(), self._cost
        if len(drawn) == 2 and cost(drawn[0]) > cost(drawn[1]):
            drawn = (drawn[1], drawn[0])
        yield from drawn
        rest = [server for server in self._servers if server.usable and server not in drawn]
        yield from sorted(rest, key=cost)

    def _two(self) -> Sequence[ServerT]:
        """Two usable servers, or as many as there are."""
        servers = self._servers
        if len(servers) > 1:
            first, second = _draw_two(self._bounds, self._random)
            one, other = servers[first], servers[second]
            if one.usable and other.usable and first != second:
                return one, other
        usable = [server for server in servers if server.usable]
        if len(usable) <= 2:
            return usable
        first, second = _draw_two(list(accumulate(server.weight for server in usable)), self._random)
        return usable[first], usable[second]


def _connections(server: Candidate) -> float:
    return (server.in_flight + 1) / server.weight


def _draw_two(bounds: Sequence[float], random: Random) -> tuple[int, int]:
    """Indices of two, drawn by weight; the second from the others. bounds: sums of weights up to each.

    The two are the same where the others weigh nothing.
    """
    total, last = bounds[-1], len(bounds) - 1
    first = bisect(bounds, random.random() * total, 0, last)
    begin = bounds[first - 1] if first else 0
    weight = bounds[first] - begin
    point = random.random() * (total - weight)
    if point >= begin:
        point += weight
    return first, bisect(bounds, point, 0, last)
