"""Topic: how much memory thousands of connections take that have asked once and now do nothing."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import pairwise

from asking import SMALL
from processes import UnavailableError, tell
from session import Entrant, Row, Session
from trees import memory_of_all

_REQUEST = b"GET /small HTTP/1.1\r\nHost: www.bench.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
_PATIENCE = 10.0


def idle(session: Session) -> list[Row]:
    """Each server alone, freshly started: what it has taken before would hide what it takes."""
    rows: list[Row] = []
    for server in session.servers():
        with ExitStack() as stack:
            for entrant in session.enter(stack, "idle", [server]):
                tell(f"idle: {server.name}, {session.effort.idle} connections")
                try:
                    rows.append(_row(session, entrant))
                except (UnavailableError, OSError) as reason:
                    session.skip("idle", server.name, reason)
    return rows


def _row(session: Session, entrant: Entrant) -> Row:
    # A round of load first, so that what is made once for all is there already.
    session.round(entrant, session.load(), session.effort.warm_up)
    pid, count = entrant.process.pid, session.effort.idle
    halves = (0, count // 2, count)
    opened: list[socket.socket] = []
    with ExitStack() as stack:
        memories = [memory_of_all(pid)]
        for fewer, more in pairwise(halves):
            opened += _connected(stack, entrant.place.port, more - fewer)
            memories.append(memory_of_all(pid))
        if gone := _closed(opened):
            raise UnavailableError(f"it closed {gone} of {count} connections")
    before, _, after = memories
    taken = after.beyond(before)
    return {
        "server": entrant.name,
        "connections": count,
        "rss_before": before.rss,
        "rss": taken.rss,
        "pss": taken.pss,
        "kilobytes_each": taken.pss * 1000 / count,
        "memories": [asdict(each) for each in memories],
    }


def _connected(stack: ExitStack, port: int, count: int) -> Iterator[socket.socket]:
    """New connections, each of which has asked once."""
    for _ in range(count):
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), _PATIENCE))
        connection.sendall(_REQUEST)
        _take_response(connection)
        yield connection


def _closed(connections: Sequence[socket.socket]) -> int:
    """How many of these have ended, or got what they did not ask for."""
    poll = select.poll()
    for each in connections:
        poll.register(each, select.POLLIN)
    return len(poll.poll(0))


def _take_response(connection: socket.socket) -> None:
    received = b""
    while True:
        head, separator, body = received.partition(b"\r\n\r\n")
        if separator and len(body) >= SMALL:
            break
        more = connection.recv(65536)
        if not more:
            raise UnavailableError("a connection was closed")
        received += more
    if not head.startswith(b"HTTP/1.1 200 ") or len(body) != SMALL:
        raise UnavailableError(f"a connection got {head[:40]!r}")
