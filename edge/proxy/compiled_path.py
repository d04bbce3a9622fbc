"""The compiled path as the rest of an edge sees it: its listeners, and the way to and from the general path.

To import this raises ModuleNotFoundError where the modules of `edge.compiled` were not built.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import structlog

from edge.compiled.client import Client
from edge.compiled.listening import Listening
from edge.compiled.loop import Loop
from edge.compiled.terms import Terms
from edge.http1.events import Field
from edge.proxy.downstream import Downstream
from edge.proxy.handed_over import HandedOver, Unanswered
from edge.proxy.record import plain_entry
from edge.proxy.transports import accepted, connected
from edge.proxy.upstream import Upstream

if TYPE_CHECKING:
    from edge.proxy.entrance import Entrance, Peer
    from edge.proxy.proxy import Proxy

_ACCEPT_AGAIN = 1.0  # seconds; after the process has had no descriptor left

_log = structlog.get_logger("edge")


class CompiledPath:
    """Serves plain requests through plain listeners; whatever is unusual goes to `Downstream`, and back."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._loop = Loop(self, proxy.counters)
        self._tasks: set[asyncio.Task[None]] = set()
        self.use()

    def start(self) -> None:
        """Serve those who connect."""
        self._proxy.loop.add_reader(self._loop.fileno(), self._loop.turn)

    def use(self) -> None:
        """Go by what the proxy serves by now."""
        limits = self._proxy.limits
        self._loop.limit(limits.request_line, limits.head, limits.fields)
        self._loop.terms = Terms(self._proxy)

    def close(self) -> None:
        """Serve nobody any more."""
        self._proxy.loop.remove_reader(self._loop.fileno())

    def listen(self, listening: socket.socket, entrance: Entrance) -> Listening:
        """Accept connections from `listening`, which is the path's from now on."""
        return Listening(self._loop, listening, self, entrance)

    # What the listeners say.

    def accepted(
        self, fd: int, entrance: Entrance, source: tuple[str, int], destination: tuple[str, int]
    ) -> None:
        """Somebody has connected."""
        proxy = self._proxy
        client = Client(self._loop, fd, proxy, entrance, entrance.introduced(source, destination))
        refused = proxy.admit(client)
        if refused:
            client.turn_away(proxy.turn_away(client, refused))
        else:
            client.begin_serving()

    def cannot_accept(self, listening: Listening, reason: str) -> None:
        """Too many open files, as a rule: the kernel keeps those that wait."""
        self._proxy.complain("cannot accept connections", reason=reason)
        self._proxy.loop.call_later(_ACCEPT_AGAIN, listening.accept_again)

    def fault(self) -> None:
        """A fault of ours with one connection must not cost the others anything."""
        _log.exception("a connection ended by a fault of the compiled path")

    # The way to the general path.

    def take_request(self, client: Client, fd: int, data: bytes) -> None:
        """data: what came of a request, or of several, which nobody has looked at."""
        self._run(self._connect_client(client, fd, HandedOver(client, data, None)))

    def take_unreached(self, client: Client, fd: int, data: bytes, unanswered: Unanswered) -> None:
        """The first request of `data` is at a server that cannot be connected to."""
        self._run(self._connect_client(client, fd, HandedOver(client, data, unanswered)))

    def take_exchange(
        self,
        client: Client,
        fd: int,
        data: bytes,
        unanswered: Unanswered,
        server_fd: int,
        opened_at: float,
    ) -> None:
        """The first request of `data` was given to a server. opened_at: of that connection, loop time."""
        handed = HandedOver(client, data, unanswered)
        self._run(self._connect_both(client, fd, handed, server_fd, opened_at))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._proxy.loop.create_task(work, name="handing over")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect_client(self, client: Client, fd: int, handed: HandedOver) -> None:
        downstream = Downstream(self._proxy, client.entrance, handed=handed)
        await self._client_transport(client, downstream, fd)
        downstream.go_on(None)

    async def _connect_both(
        self, client: Client, fd: int, handed: HandedOver, server_fd: int, opened_at: float
    ) -> None:
        proxy, unanswered = self._proxy, handed.unanswered
        assert unanswered is not None
        downstream = Downstream(proxy, client.entrance, handed=handed)
        upstream = Upstream(unanswered.server, proxy.limits, now=opened_at, begun=downstream.go_on)
        connection = socket.socket(fileno=server_fd)
        await self._client_transport(client, downstream, fd)
        try:
            await connected(proxy.loop, lambda: upstream, connection)
        except OSError:
            # Whether the server has got the request, nobody can find out any more.
            downstream.abort()
            downstream.go_on(None)

    async def _client_transport(self, client: Client, downstream: Downstream, fd: int) -> None:
        """Should there be none for it, it is as if the client had left."""
        try:
            await accepted(self._proxy.loop, lambda: downstream, socket.socket(fileno=fd))
        except OSError:
            downstream.connection_lost(None)
            self._proxy.forget(client)

    # And back.

    def take_back(self, downstream: Downstream, entrance: Entrance, fd: int) -> None:
        """A connection on which nothing is under way. fd: of it, and ours from now on."""
        requests, hand_overs = downstream.requests, downstream.hand_overs
        client = Client(self._loop, fd, self._proxy, entrance, downstream.peer, requests, hand_overs)
        self._proxy.replace(downstream, client)
        client.begin_serving()

    # What it tells at the end of a request.

    def log(self, peer: Peer, claims: list[Field], **known: Any) -> None:
        """One line of the access log. claims, known: as `plain_entry` wants them."""
        log, edge = self._proxy.access_log, self._proxy.edge
        if log is not None:
            log.write(plain_entry(peer, claims, now=log.now(), region=edge.region, edge=edge.name, **known))
