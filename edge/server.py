"""The running state of one server: its verdict and mode, requests in flight, counters, idle connections."""

from __future__ import annotations

from time import monotonic
from typing import Protocol

from edge.balance.peak_ewma import PeakEwma
from edge.ejection import Standing
from gslb.fleet import Server, ServerMode
from gslb.fleet_edge import Connections
from gslb.world import Verdict


class IdleConnection(Protocol):
    """A keep-alive connection to a server, as far as a pool has to know it. Times: of the loop.

    usable: whether a request may be written to it. surrender: give its descriptor to the other path through
    the edge; -1 if there is none any more.
    """

    idle_since: float
    opened_at: float

    @property
    def usable(self) -> bool: ...

    def surrender(self) -> int: ...

    def close(self) -> None: ...


class Judging(Protocol):
    """A server's pool, as far as the server has to know it."""

    def settle(self) -> None:
        """What is known of the server has changed, and with it which servers get requests, maybe."""

    def recovered(self, server: ServerState) -> None:
        """Checks call it UP that they called DOWN before."""

    def request_failed(self, server: ServerState, *, answered: bool) -> None:
        """A request failed there. answered: whether with a response."""


class ServerState:
    """One server at run time.

    own: requests of this process that are at this server, or on their way to it, now, each on a connection
    of its own. in_flight: those of all processes of the edge; what balancing goes by. max_in_flight: how many
    of these it may have. load: share of its resources in use as it told last, 0 to 1; None: it tells none.
    usable: whether it may get requests, which its pool decides (`edge.usability`). standing: how its requests
    go. weight: that it has by now; less than `full_weight` while it starts slowly, since `started_at`.
    idle: connections waiting for use, the most recently used last, so that the surplus of a quiet hour ages
    and goes. idle_elsewhere: how many other processes have. ejected_elsewhere: how many have ejected it.
    """

    __slots__ = (
        "_column",
        "_columns",
        "_most",
        "_pool",
        "_row",
        "_spoken_since",
        "_times",
        "backup",
        "connect_failures",
        "connections",
        "ejected_elsewhere",
        "failures",
        "full_weight",
        "idle",
        "idle_elsewhere",
        "load",
        "max_in_flight",
        "mode",
        "name",
        "opened",
        "own",
        "reason",
        "requests",
        "server",
        "since",
        "standing",
        "started_at",
        "usable",
        "verdict",
        "weight",
    )

    def __init__(self, server: Server, connections: Connections, pool: Judging) -> None:
        self.name = str(server.address)
        self._pool = pool
        self.usable = True
        self.standing = Standing()
        self.started_at: float | None = None
        self.verdict = Verdict.UNKNOWN
        self.reason = "not observed yet"
        self.since = 0.0
        self._spoken_since = float("-inf")  # connections from before speak otherwise than is wanted now
        self._columns: tuple[memoryview[int], ...] = ()  # the others'
        self._column: memoryview[int] | None = None  # where they see ours
        self._row = 0
        self._times = PeakEwma()
        self.load: float | None = None
        self.use(server, connections)
        self.own = 0
        self.idle_elsewhere = 0
        self.ejected_elsewhere = 0
        self.requests = 0
        self.failures = 0
        self.connect_failures = 0
        self.opened = 0
        self.idle: list[IdleConnection] = []

    def use(self, server: Server, connections: Connections) -> None:
        """Go on as declared now: another weight, other bounds; what is known and counted stays."""
        self.server = server
        self.connections = connections
        most = connections.most if server.max_connections is None else server.max_connections
        self._most = float("inf") if most is None else most
        self.mode = server.mode
        self.full_weight = server.weight
        self.weight: float = server.weight
        self.backup = server.backup
        self._bound()

    def _bound(self) -> None:
        # Every process that sends it requests may have so many there.
        self.max_in_flight = self._most * max(1, len(self._columns) + (self._column is not None))

    @property
    def in_flight(self) -> int:
        if not self._columns:
            return self.own
        row = self._row
        return self.own + sum([column[row] for column in self._columns])

    def enter(self) -> None:
        """One more request goes there."""
        self.own += 1
        self.requests += 1
        if self._column is not None:
            self._column[self._row] = self.own

    def leave(self) -> None:
        """One request is there no more."""
        self.own -= 1
        if self._column is not None:
            self._column[self._row] = self.own

    def share(self, row: int, ours: memoryview[int] | None, others: tuple[memoryview[int], ...]) -> None:
        """Count together with other processes. row: of each column. ours: None for who sends it nothing."""
        self._row, self._column, self._columns = row, ours, others
        self._bound()
        if ours is not None:
            ours[row] = self.own

    def speak_anew(self, now: float) -> None:
        """It is spoken to otherwise from now on (TLS, PROXY headers): no older connection is used again.

        now: loop time.
        """
        self._spoken_since = now
        self.close_idle()

    def retire(self) -> None:
        """It is declared no more: what is at it may end there, and nothing new comes."""
        self.usable = False
        self.share(0, None, ())
        self.close_idle()

    def judge(self, verdict: Verdict, reason: str, since: float) -> None:
        """Take over a verdict; with DOWN it loses its idle connections."""
        news = verdict is not self.verdict
        recovered = news and self.verdict is Verdict.DOWN and verdict is Verdict.UP
        self.verdict, self.reason, self.since = verdict, reason, since
        if verdict is Verdict.DOWN:
            self.close_idle()
        if recovered:
            self._pool.recovered(self)
        if news:
            self._pool.settle()

    def start_slowly(self, now: float) -> None:
        """From now on (loop time) it has a growing part of its weight; `warm` says how much."""
        self.started_at = now

    def warm(self, now: float, time: float, least: float) -> None:
        """Have the part of its weight that is due, if it starts slowly. time, least: as in `SlowStart`."""
        if self.started_at is None:
            return
        part = (now - self.started_at) / time if time else 1.0
        if part >= 1:
            self.started_at = None
        self.weight = self.full_weight * min(1.0, max(least, part))

    @property
    def ejected(self) -> bool:
        return self.standing.ejected is not None

    @property
    def ready(self) -> bool:
        """Whether it is meant to get requests."""
        return self.mode is ServerMode.READY and self.full_weight > 0

    @property
    def fit(self) -> bool:
        """Whether nothing speaks against it."""
        return self.ready and self.verdict is not Verdict.DOWN and not self.ejected

    @property
    def keeps_sessions(self) -> bool:
        """Whether clients that a cookie sends there may go on doing so."""
        drained = self.mode is ServerMode.DRAIN and self.verdict is not Verdict.DOWN
        return self.usable or drained

    @property
    def response_time(self) -> float | None:
        """Seconds to the first byte, as it is to be expected now; None: not known yet."""
        return self._times.at(monotonic())

    def answered(self, seconds: float) -> None:
        """The first byte of a response came so many seconds after the request had gone there."""
        self._times.add(seconds, monotonic())

    def completed(self) -> None:
        """A response below 500 came whole; to be told of where `standing.failures` are."""
        self.standing.succeeded()

    def failed(self, seconds: float, *, answered: bool = False) -> None:
        """A request failed there, which counts as slow. seconds: that it waited, if no response came.

        answered: whether a response came, of 500 and above.
        """
        self.failures += 1
        self._times.fail(seconds, monotonic())
        self._pool.request_failed(self, answered=answered)

    def unreachable(self, seconds: float) -> None:
        """It took no connection for so many seconds."""
        self.connect_failures += 1
        self._times.fail(seconds, monotonic())
        self._pool.request_failed(self, answered=False)

    @property
    def has_room(self) -> bool:
        """Whether it may get one more request of this process now."""
        return self.own < self._most

    def take_idle(self) -> IdleConnection | None:
        """The most recently used idle connection."""
        return self.idle.pop() if self.idle else None

    def keep_idle(self, connection: IdleConnection, now: float) -> None:
        """Keep a connection for later; or close it: the server is not usable, enough wait, it is too old."""
        opened_at = connection.opened_at
        young = now - opened_at < self.connections.max_age and opened_at >= self._spoken_since
        if self.usable and young and len(self.idle) < self.connections.idle:
            connection.idle_since = now
            self.idle.append(connection)
        else:
            connection.close()

    def forget_idle(self, connection: IdleConnection) -> None:
        """A connection died while it waited."""
        if connection in self.idle:
            self.idle.remove(connection)

    def expire_idle(self, now: float) -> None:
        """Close connections that have been idle for too long."""
        before = now - self.connections.idle_timeout
        # They are in the order in which they became idle, the oldest first.
        while self.idle and self.idle[0].idle_since < before:
            self.idle.pop(0).close()

    def close_idle(self) -> None:
        waiting, self.idle = self.idle, []
        for connection in waiting:
            connection.close()
