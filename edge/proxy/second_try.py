"""A second try beside a slow one: whichever server answers first, the client hears."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from edge.proxy.reach import NotReached, Reach, Seeker
from edge.proxy.upstream import ResponseReceiver, Upstream
from edge.retry import Failure

if TYPE_CHECKING:
    from edge.http1.events import ResponseHead, Trailers
    from edge.server import ServerState


class Tried(ResponseReceiver, Seeker, Protocol):
    """An exchange, as far as its second try has to know it."""

    __slots__ = ()

    def second_answers(self, head: ResponseHead) -> bool:
        """The second try's server was quicker; whether its response is taken."""
        ...

    def second_failed(self) -> None:
        """The second try came to nothing; the first goes on."""
        ...


class SecondTry:
    """Goes to one server that the first try has not been to, and then to nobody else.

    When its exchange takes it over, it is the exchange's only try, and all that its reach has to say goes
    there. Invariant: until then it is its reach's server that counts it, and `give_up` ends that.
    """

    __slots__ = ("_exchange", "_reach", "_request", "_taken_over", "_upstream")

    def __init__(self, exchange: Tried, request: Callable[[ServerState], bytes]) -> None:
        """request: head and body, whole, as a server gets them."""
        self._exchange = exchange
        self._request = request
        self._taken_over = False
        self._reach: Reach | None = None
        self._upstream: Upstream | None = None

    def start(self, first: Reach) -> None:
        """Begin; it may be over before this returns. first: the reach of the first try."""
        self._reach = first.beside(self)
        self._reach.next()

    @property
    def method(self) -> bytes:
        return self._exchange.method

    @property
    def upgrades(self) -> bool:
        return False

    def take_over(self) -> tuple[Reach | None, Upstream | None]:
        """Its exchange goes on with this try alone: with its reach and, once there is one, its connection."""
        self._taken_over = True
        if self._upstream is not None:
            self._upstream.receiver = self._exchange
        return self._reach, self._upstream

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()
        if self._reach is not None:
            self._reach.leave()

    # What its reach says.

    def reached(self, upstream: Upstream) -> None:
        if self._taken_over:
            self._exchange.reached(upstream)
            return
        server = self.server
        self._upstream = upstream
        upstream.attach(self)
        upstream.write(self._request(server))

    def not_reached(self, why: NotReached) -> None:
        if self._taken_over:
            self._exchange.not_reached(why)
        else:
            self._exchange.second_failed()

    # What its server says, until it is taken over.

    def informational(self, head: ResponseHead) -> None:
        pass

    def response_started(self, head: ResponseHead) -> bool:
        return self._exchange.second_answers(head)

    def response_body(self, data: bytes) -> None:
        pass

    def response_flush(self) -> None:
        pass

    def response_finished(self, trailers: Trailers, *, reusable: bool) -> None:
        pass

    def switched(self, head: ResponseHead, early: bytes) -> None:
        self.server_failed(Failure.BROKEN, "the server switched to a protocol that nobody asked for")

    def server_failed(self, failure: Failure, reason: str) -> None:
        assert self._reach is not None
        self._upstream = None
        if not (failure is Failure.ENDED and self._reach.reused):  # a stale connection says nothing
            self.server.failed(self._reach.waited)
        self._exchange.second_failed()

    def server_writable(self) -> None:
        pass

    @property
    def server(self) -> ServerState:
        """That it is at."""
        assert self._reach is not None
        assert self._reach.server is not None
        return self._reach.server
