"""Answers over UDP with the compiled loop: threads that never wait for Python, and one that helps out."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import structlog

from gslb.dns.compiled.loop import Miss
from gslb.dns.compiled_path import CompiledPath
from gslb.dns.responder import Responder

log = structlog.get_logger(__name__)

_IDLE = 0.5
"""Seconds that the clerk waits for something to do."""


class CompiledServer:
    """Serves the sockets of one address, which stay the caller's, with a thread each.

    What the threads cannot repeat they leave to the clerk, who answers it and teaches them the answer.
    """

    def __init__(
        self,
        path: CompiledPath,
        sockets: Sequence[socket.socket],
        wildcard: bool,
        responder: Responder,
        pinned: bool,
    ) -> None:
        """wildcard: whether they are bound to one. pinned: whether each thread keeps to a core.

        Raises GslbError when the process has too many threads already.
        """
        self._path = path
        self._responder = responder
        self._loop = path.loop([each.fileno() for each in sockets], wildcard=wildcard)
        self._stopping = False
        cores = sorted(os.sched_getaffinity(0))
        self._threads = [
            threading.Thread(
                target=self._serve,
                args=(index, cores[index % len(cores)] if pinned else None),
                name=f"udp {self._loop.first + index}",
                daemon=True,
            )
            for index in range(len(sockets))
        ]
        self._clerk = threading.Thread(target=self._help_out, name="udp clerk", daemon=True)

    def start(self) -> None:
        for thread in (self._clerk, *self._threads):
            thread.start()

    def stop(self) -> None:
        """Return when every thread has ended."""
        self._loop.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        # Only now there are no more queries to come.
        self._stopping = True
        if self._clerk.is_alive():
            self._clerk.join()
        self._path.release(self._loop, len(self._threads))

    def _serve(self, index: int, core: int | None) -> None:
        if core is not None:
            try:
                os.sched_setaffinity(0, {core})
            except OSError as error:
                log.warning("a thread cannot keep to its core", core=core, error=error.strerror)
        try:
            self._loop.serve(index)
        except Exception:
            log.exception("a thread that answers over udp has ended", thread=self._loop.first + index)

    def _help_out(self) -> None:
        idle = _IDLE
        while not self._stopping:
            busy = self._take(idle)
            self._tidy()
            idle = 0.0 if busy or self._rank_ahead() else _IDLE
        end = time.monotonic() + _IDLE
        while self._take(0.0) and time.monotonic() < end:
            pass

    def _take(self, seconds: float) -> bool:
        """Answer what there is, waiting for it if need be; whether there was anything."""
        try:
            misses = self._loop.take(seconds=seconds)
            for miss in misses:
                self._answer(miss)
        except Exception:
            with suppress(Exception):
                log.exception("queries over udp could not be answered")
            return False
        return bool(misses)

    def _answer(self, miss: Miss) -> None:
        try:
            answer = self._responder.respond(miss.packet, miss.source, miss.port, missed=True)
            if answer is not None:
                self._loop.send(miss, answer)
        except OSError as error:
            # An ICMP error of an earlier answer, or a full buffer: the next query is not to blame.
            log.debug("udp", error=str(error))
        except Exception:
            # The fault is ours; one query is lost to it, and not all that come after it.
            with suppress(Exception):
                log.exception("a query over udp could not be answered")

    def _tidy(self) -> None:
        """Also in a flood, in which old books would otherwise stay and limits go untold."""
        with suppress(Exception):
            self._path.reclaim()
            self._responder.tell_of_limits()

    def _rank_ahead(self) -> bool:
        """While nobody waits; whether there is more of it."""
        with suppress(Exception):  # what fails here fails again, and is told, when it is asked for
            return self._responder.rank_ahead()
        return False
