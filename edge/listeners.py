"""The sockets that an edge listens on: bound, exchanged and given up without a connection being lost.

Every listening socket is held twice, by a duplicate that a server accepts from and by the original here. So a
server can be replaced over the same queue of waiting connections, and that queue can be emptied to the last
before the socket goes: the kernel resets whoever is still in it then.

Sockets are bound with SO_REUSEPORT: a successor, or another process of the same user, may listen beside this
one, and the kernel gives each connection to one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from edge.proxy import transports
from edge.proxy.acceptor import Acceptor
from edge.proxy.proxy import Proxy
from edge.proxy_protocol import ProxyHeader
from edge.stream.datagrams import Datagrams
from edge.stream.passage import Passage
from gslb.errors import GslbError
from gslb.fleet import EdgeSettings, Listener, ListenerKind, SocketAddress

_BACKLOG = 4096
_LAST_TURNS = 8
_LAST_HANDSHAKES = 1.0  # seconds for those that were taken over last


def bind(address: SocketAddress, *, datagrams: bool = False) -> socket.socket:
    """A socket bound for listening; raises GslbError naming the address when that is impossible."""
    what = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=what, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise GslbError(f"cannot listen on {address}: {error.strerror}") from error
    try:
        if not datagrams:  # there it would let anybody in
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind(where)
    except OSError as error:
        bound.close()
        raise GslbError(
            f"cannot listen on {address}: {error.strerror}",
            hint="does another program listen there, or does the port need privileges?",
        ) from error
    return bound


@dataclass(frozen=True, slots=True)
class Terms:
    """All that a server is made by; one with other terms takes its place. context: None without TLS.

    handshake, shutdown: seconds for TLS and a PROXY header to begin, and for TLS to end; 0 where neither is.
    """

    listener: Listener
    context: ssl.SSLContext | None
    handshake: float = 0.0
    shutdown: float = 0.0


def terms(listener: Listener, settings: EdgeSettings, context: ssl.SSLContext | None) -> Terms:
    """context: for the listeners with TLS."""
    if not listener.tls and not listener.proxy_protocol:
        return Terms(listener, None)
    return Terms(listener, context if listener.tls else None, settings.header_timeout, settings.write_timeout)


class Accepting(Protocol):
    """What accepts from a socket: a server of asyncio's, an Acceptor, Datagrams, or the compiled path."""

    def close(self) -> None: ...


Connected = Callable[[ProxyHeader | None], asyncio.Protocol]


@dataclass(slots=True, eq=False)
class Bound:
    """One socket, and what accepts from it; None: nothing does yet. fresh: it was bound for this.

    connected: makes the protocols of its connections.
    """

    terms: Terms
    socket: socket.socket
    fresh: bool
    server: Accepting | None = None
    passage: Passage | None = None
    connected: Connected | None = None

    @property
    def address(self) -> SocketAddress:
        return SocketAddress(*self.socket.getsockname()[:2])


class Listeners:
    """Those of one edge. Call `prepare`, `begin` and then `use`, or `give_up` when anything went wrong."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._bound: list[Bound] = []
        self._taking: set[asyncio.Task[None]] = set()

    @property
    def addresses(self) -> tuple[SocketAddress, ...]:
        """Where clients are served, with the ports that the kernel chose."""
        return tuple(each.address for each in self._bound)

    def prepare(self, wanted: Iterable[Terms]) -> list[Bound]:
        """A socket for each; raises GslbError when one cannot be bound, and then none is."""
        had = list(self._bound)
        prepared: list[Bound] = []
        try:
            for each in wanted:
                old = next((one for one in had if _same_socket(one.terms.listener, each.listener)), None)
                if old is None:
                    bound = bind(each.listener.address, datagrams=each.listener.datagrams)
                    prepared.append(Bound(each, bound, fresh=True))
                    continue
                had.remove(old)
                same = old.terms == each
                prepared.append(old if same else Bound(each, old.socket, fresh=False))
        except BaseException:
            _close_fresh(prepared)
            raise
        return prepared

    async def begin(self, prepared: Iterable[Bound]) -> None:
        """Accept on them from now on. Raises GslbError when one cannot be listened on."""
        for each in prepared:
            if each.server is None:
                try:
                    each.server = await self._serve(each)
                except OSError as error:
                    where = each.terms.listener.address
                    raise GslbError(f"cannot listen on {where}: {error.strerror}") from error

    def give_up(self, prepared: Iterable[Bound]) -> None:
        """They are not wanted after all; those in use before go on."""
        new = [each for each in prepared if each not in self._bound]
        for each in new:
            if each.server is not None:
                each.server.close()
                self._finish(each.server)
        _close_fresh(new)

    def use(self, prepared: list[Bound]) -> None:
        """These are the listeners; the others end, but nobody who is connected or waits to be accepted."""
        before, self._bound = self._bound, prepared
        kept = {id(each.socket) for each in prepared}
        for each in prepared:
            each.fresh = False
            if each not in before:
                self._start(each)
        for each in before:
            if each in prepared:
                continue
            if id(each.socket) in kept:
                assert each.server is not None
                each.server.close()
                self._finish(each.server)
            else:
                self._leave(each)

    async def close(self) -> None:
        """Accept whoever waits, then nobody. Returns when the last ones' first bytes have been read."""
        self.use([])
        if self._taking:
            await asyncio.wait(self._taking, timeout=_LAST_HANDSHAKES)
        for task in tuple(self._taking):
            task.cancel()
        await asyncio.gather(*self._taking, return_exceptions=True)
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)

    def _start(self, bound: Bound) -> None:
        """Where pools are named they are there only now."""
        if bound.passage is not None:
            bound.passage.start()
        if isinstance(bound.server, Datagrams):
            bound.server.start()

    def _leave(self, bound: Bound) -> None:
        """End a listener whose socket goes too. Who comes between the two is reset: so nothing is awaited."""
        if isinstance(bound.server, Datagrams):
            bound.server.leave()
        elif bound.server is not None:
            bound.server.close()
            for accepted, peer in _waiting(bound.socket):
                if isinstance(bound.server, Acceptor):
                    bound.server.introduce(accepted, peer)
                else:
                    self._take(self._connect(bound, accepted))
            self._finish(bound.server)
        bound.socket.close()

    def _finish(self, server: Accepting) -> None:
        if isinstance(server, Acceptor):
            self._take(server.finish())

    def _take(self, work: Coroutine[None, None, None]) -> None:
        task = self._proxy.loop.create_task(work, name="the last of a listener")
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def _connect(self, bound: Bound, accepted: socket.socket) -> None:
        by, connected = bound.terms, bound.connected
        assert connected is not None
        secured = by.context is not None
        with contextlib.suppress(OSError):  # it is gone, or does not speak TLS
            await transports.accepted(
                self._proxy.loop,
                lambda: connected(None),
                accepted,
                ssl=by.context,
                ssl_handshake_timeout=by.handshake if secured else None,
                ssl_shutdown_timeout=by.shutdown if secured else None,
            )

    async def _serve(self, bound: Bound) -> Accepting:
        proxy, by = self._proxy, bound.terms
        entrance = proxy.entrance(by.listener)
        if by.listener.kind is ListenerKind.TCP:
            bound.passage = Passage(proxy, entrance)
        connected: Connected = bound.passage.relay if bound.passage else proxy.protocol(entrance)
        bound.connected = connected
        # Two descriptors of one socket, so that either may be closed.
        accepting = bound.socket.dup()
        accepting.setblocking(False)
        try:
            if by.listener.datagrams:
                return Datagrams(proxy, entrance, accepting)
            if by.listener.proxy_protocol or by.context is not None:
                accepting.listen(_BACKLOG)
                trusts = (lambda address: proxy.trusted.has(address)) if by.listener.proxy_protocol else None
                return Acceptor(
                    proxy.loop,
                    accepting,
                    connected,
                    trusts=trusts,
                    context=by.context,
                    timeout=by.handshake,
                    shutdown_timeout=by.shutdown,
                    complain=proxy.complain,
                )
            if proxy.compiled is not None and entrance.plain and bound.passage is None:
                accepting.listen(_BACKLOG)
                return proxy.compiled.listen(accepting, entrance)
            return await proxy.loop.create_server(lambda: connected(None), sock=accepting, backlog=_BACKLOG)
        except BaseException:
            accepting.close()
            raise


def _close_fresh(bound: Iterable[Bound]) -> None:
    for each in bound:
        if each.fresh:
            each.socket.close()


def _same_socket(one: Listener, other: Listener) -> bool:
    return one.address == other.address and one.datagrams == other.datagrams


def _waiting(listening: socket.socket) -> Iterator[tuple[socket.socket, str]]:
    """Empties the queue of those whom the kernel has accepted: a connection, and where it comes from."""
    while True:
        try:
            accepted, peer = listening.accept()
        except (ConnectionError, InterruptedError):
            continue
        except OSError:
            return  # there is nobody left, or no descriptor
        accepted.setblocking(False)
        yield accepted, str(peer[0])
