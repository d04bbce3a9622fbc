"""Passes datagrams on: each client has a server, and a socket to it, for as long as it is not silent."""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections import OrderedDict
from typing import TYPE_CHECKING

from edge.counters import PassedOn
from edge.pool import PoolState
from edge.stream.arrival import Ancillary, Where, answer_from, tell_arrival
from edge.stream.session import Session

if TYPE_CHECKING:
    from edge.proxy.entrance import Entrance
    from edge.proxy.proxy import Proxy

_AT_ONCE = 64
"""Datagrams that are read before everybody else has a turn."""

_LARGEST = 65535
_CONTROL = 128
_FASTEST_LOOK, _SLOWEST_LOOK = 0.02, 1.0  # seconds


class Datagrams:
    """Of one listener. Call `start`, then `close`, or `leave` when its address is given up as well.

    What a client has asked before either is still answered; its next datagram is for somebody else.
    """

    def __init__(self, proxy: Proxy, entrance: Entrance, bound: socket.socket) -> None:
        """bound: its own; it closes it."""
        self.proxy = proxy
        self.listener = listener = entrance.listener
        self.counts = proxy.counters.passed_on.setdefault(listener.label, PassedOn())
        self.entrance = entrance
        self._socket = bound
        self.family = bound.family
        self.address: Where = bound.getsockname()
        self._at = tell_arrival(bound)
        self._sessions: OrderedDict[tuple[Where, bytes], Session] = OrderedDict()
        # Of its own: uvloop watches a socket no longer whose peer has refused a datagram.
        self._servers = selectors.DefaultSelector()
        self._looking: asyncio.TimerHandle | None = None
        self._left = False

    @property
    def pool(self) -> PoolState | None:
        return self.proxy.pools.by_name.get(self.listener.pool or "")

    def start(self) -> None:
        """Its pool is there: whatever has come may go on."""
        self.proxy.loop.add_reader(self._socket, self._readable)
        self.proxy.loop.add_reader(self._servers.fileno(), self._answered)
        self._look()

    def close(self) -> None:
        """Take nothing more; somebody else reads from the same socket."""
        self._stop()
        for session in tuple(self._sessions.values()):
            session.last_answer(alone=False)
        self._socket.close()
        self._close_if_done()

    def leave(self) -> None:
        """Take what has come, and nothing more: nobody listens at the address any longer."""
        if not self._left:
            self._readable(all_of_it=True)
        self._stop()
        for session in tuple(self._sessions.values()):
            session.last_answer(alone=True)
        self._socket.close()
        self._close_if_done()

    def _stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if not self._left:
            self._left = True
            self.proxy.loop.remove_reader(self._socket)

    def _readable(self, *, all_of_it: bool = False) -> None:
        read = 0
        while all_of_it or read < _AT_ONCE:
            read += 1
            try:
                data, ancillary, _, client = self._socket.recvmsg(_LARGEST, _CONTROL if self._at else 0)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # of an answer to somebody who has gone
            self._from_client(data, client, answer_from(ancillary))

    def _from_client(self, data: bytes, client: Where, arrival: Ancillary) -> None:
        key = (client, arrival[0][2] if arrival else b"")
        session = self._sessions.get(key)
        if session is None:
            session = self._begin(key, client, arrival)
        else:
            self._sessions.move_to_end(key)
        self.counts.bytes_in += len(data)
        if session is None or not session.send(data):
            self.counts.refused += 1

    def _begin(self, key: tuple[Where, bytes], client: Where, arrival: Ancillary) -> Session | None:
        pool = self.pool
        if pool is None:
            return None
        if len(self._sessions) >= self.listener.sessions:
            next(iter(self._sessions.values())).end()
        session = Session(self, pool, key, client, arrival)
        self._sessions[key] = session
        self.counts.taken += 1
        self.counts.open += 1
        return session

    # What sessions ask for.

    def answer(self, data: bytes, arrival: Ancillary, client: Where) -> None:
        """Raises OSError when it cannot leave."""
        self._socket.sendmsg([data], arrival, 0, client)

    def alive(self, session: Session) -> None:
        """Its server has answered: it is not silent."""
        if session.key in self._sessions:
            self._sessions.move_to_end(session.key)

    def forget(self, session: Session) -> None:
        del self._sessions[session.key]
        self.counts.open -= 1
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._left and not self._sessions and self._servers.get_map() is not None:
            self.proxy.loop.remove_reader(self._servers.fileno())
            self._servers.close()

    def watch(self, opened: socket.socket, session: Session) -> None:
        """Tell the session of what comes from its server."""
        self._servers.register(opened, selectors.EVENT_READ, session)

    def unwatch(self, opened: socket.socket) -> None:
        self._servers.unregister(opened)

    def _answered(self) -> None:
        for key, _ in self._servers.select(0):
            key.data.readable()

    def duplicate(self) -> socket.socket:
        """Another descriptor of its socket. Raises OSError."""
        return self._socket.dup()

    def _look(self) -> None:
        """End those that have been silent for too long; the one that was silent longest is the first."""
        limit = self.listener.idle
        interval = max(_FASTEST_LOOK, min(_SLOWEST_LOOK, limit / 4))
        self._looking = self.proxy.loop.call_later(interval, self._look)
        before = self.proxy.time() - limit
        while self._sessions:
            first = next(iter(self._sessions.values()))
            if first.heard > before:
                return
            first.end()
