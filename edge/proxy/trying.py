"""What an exchange does when a server fails or takes too long: another try, or none."""

from __future__ import annotations

from abc import abstractmethod

from edge.http1.events import ResponseHead
from edge.proxy.ending import Ending
from edge.proxy.patience import Overdue, overdue
from edge.proxy.second_try import SecondTry, Tried
from edge.proxy.upstream import Upstream
from edge.retry import Failure, Next, Try, decide
from edge.server import ServerState

_CONNECTING_SLACK = 1.0  # seconds beyond what connecting takes at most by its own timers

IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
"""The methods of which twice is as good as once (RFC 9110 9.2.2)."""


class Trying(Ending, Tried):
    """Tries after one another, and two at a time for requests that are hedged."""

    __slots__ = ()

    @abstractmethod
    def _head_for(self, server: ServerState) -> bytes:
        """The request's head as `server` gets it."""

    def server_failed(self, failure: Failure, reason: str) -> None:
        """The connection to the server ended before the response did."""
        server, reach = self._server(), self._reach
        assert reach is not None
        self._upstream = None
        self._progress = self._proxy.time()
        if self._download.head is not None:
            server.failed(0.0)
            self._truncate(reason)
            return
        if failure is Failure.ENDED and reach.reused:
            failure = Failure.STALE  # which says nothing about the server
        else:
            server.failed(reach.waited)
        if not self._tried(failure):
            server.failures += failure is Failure.STALE
            self._proxy.complain("server failed", server=server.server.target, reason=reason)
            self.refuse(502, f"region {self._proxy.region}, server {server.name}: {reason}")

    def _tried(self, failure: Failure, status: int = 0) -> bool:
        """One try has failed. Whether another one is made; the connection of the first is closed then."""
        if self._second is not None:
            self._go_on_with(self._second)  # which is that other one already
            return True
        head, reach, upload = self.head, self._reach, self.upload
        assert head is not None
        assert reach is not None
        assert upload is not None
        counters = self._proxy.counters
        verdict = decide(
            Try(
                failure,
                idempotent=head.method in IDEMPOTENT,
                replayable=upload.replayable,
                tried=reach.tried,
                seconds=self._proxy.time() - self._account.begun,
                retrying=counters.retrying - self._account.retrying,
                in_flight=counters.in_flight,
                status=status,
            ),
            self._retries,
            self._settings.retry_budget,
            self._timeouts.total,
        )
        if verdict.next is Next.NOWHERE or (verdict.next is Next.ANOTHER and not reach.more):
            return False
        self._account.tries_again()
        self._progress = self._proxy.time()
        self._drop_upstream()
        if verdict.next is Next.SAME:
            reach.again()
        else:
            reach.next()
        return True

    def check(self, now: float, *, client_took: bool) -> None:
        """End it if the side whose turn it is has been silent for too long. now: loop time.

        client_took: whether the client took any of what was waiting for it since the last time.
        """
        upstream, upload = self._upstream, self.upload
        if upstream is None or upload is None:
            self._check_reaching(now)
            return
        if upstream.took() or (client_took and self._client.write_paused):
            self._progress = now
        late = overdue(
            age=now - self._account.begun,
            silent=now - self._progress,
            timeouts=self._timeouts,
            settings=self._settings,
            client_paused=self._client.write_paused,
            server_paused=upstream.write_paused,
            responding=self._download.head is not None,
            uploaded=upload.done,
            servers_turn=self._servers_turn(upstream),
        )
        if late is not None:
            self._give_up(late)

    def _check_reaching(self, now: float) -> None:
        """Before there is a server. Connecting and waiting for room have timers of their own; this is for
        what all of it may take, and for the day that those timers fail."""
        timeouts, most = self._timeouts, _CONNECTING_SLACK
        most += 3 * timeouts.connect
        if self._account.pool is not None:
            most += self._account.pool.waiting.settings.timeout
        total = timeouts.total
        if now - self._progress > most or (total is not None and now - self._account.begun > total):
            self._too_late("could not reach a server in time")

    def _give_up(self, late: Overdue) -> None:
        upstream = self._upstream
        if late is Overdue.TAKING:
            self._proxy.counters.aborted_by_client += 1
            self._break_off("client")
        elif late is Overdue.RESPONSE:
            self._truncate("the server stopped in the middle of its response")
        elif late is Overdue.BODY:
            self._last = True
            self.refuse(408, "the rest of the request did not come in time")
        elif late is Overdue.TOTAL:
            if self._download.head is None and upstream is not None and self._servers_turn(upstream):
                self._server().failed(self._waited())
            self._too_late("was not done in time")
        else:
            self._server().failed(self._waited())
            if self._account.pool is not None and not self._proxy.is_neighbour(self._server()):
                self._account.pool.concurrency.dropped(self._proxy.time())
            self._proxy.complain("server does not answer", server=self._server().server.target)
            if not self._tried(Failure.TIMED_OUT):
                self._too_late("did not answer in time")

    def _servers_turn(self, upstream: Upstream) -> bool:
        """Whether it is the server, not the client, that nothing goes on without; before a response."""
        head, upload = self.head, self.upload
        assert upload is not None
        withheld = head is not None and head.expects_continue and not upload.received
        return upload.done or upstream.write_paused or (withheld and not self._continued)

    def _too_late(self, what: str) -> None:
        region = f"region {self._proxy.region}"
        server = self._reach.server if self._upstream is not None and self._reach is not None else None
        if self._download.head is not None:
            self._truncate(what)
        else:
            whose = f", server {server.name}" if server is not None else ""
            self.refuse(504, f"{region}{whose} {what}")

    # A second try beside the first, and copies for others.

    def _try_beside(self) -> None:
        """The first server takes long: see who is quicker."""
        reach, upload, hedging = self._reach, self.upload, self._hedging
        assert reach is not None
        assert upload is not None
        assert hedging is not None
        waits = self._upstream is not None and self._download.head is None and self._second is None
        body = upload.whole() if waits and upload.done else None
        # A second try takes no place from a first one: it begins where there is room now, or not at all.
        if body is None or self.upgrades or not reach.may_go() or not self._admitted() or not hedging.may():
            return
        self._proxy.counters.hedged += 1
        whole = body
        self._second = SecondTry(self, lambda server: self._head_for(server) + whole)
        self._second.start(reach)

    def _admitted(self) -> bool:
        """Whether the pool may have one more request in flight."""
        pool, route = self._account.pool, self._route
        assert pool is not None
        assert route is not None
        return not pool.concurrency.bounded or pool.concurrency.admits(pool.own, route.priority)

    def second_answers(self, head: ResponseHead) -> bool:
        """The second try's server was quicker; whether its response is taken."""
        second, first, waited = self._second, self._server(), self._waited()
        assert second is not None
        if head.status >= 500 or head.status in self._retries.on:
            second.server.failed(0.0, answered=True)  # the first may do better
            self._drop_second()
            return False
        first.answered(waited)  # it would have taken longer still
        self._go_on_with(second)
        return self.response_started(head)

    def second_failed(self) -> None:
        """The second try came to nothing; the first goes on."""
        self._drop_second()

    def _go_on_with(self, second: SecondTry) -> None:
        """Give up the first try for the second."""
        self._drop_upstream()
        if self._reach is not None:
            self._reach.leave()
        self._second = None
        self._reach, self._upstream = second.take_over()
        self._progress = self._proxy.time()
