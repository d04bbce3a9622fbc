"""Answers over UDP with the compiled loop: threads that never wait for Python, and one that helps out."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

import structlog

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
        self._stopping = True
        self._loop.stop()
        for thread in (*self._threads, self._clerk):
            if thread.is_alive():
                thread.join()
        self._path.release(self._loop, len(self._threads))

    def _serve(self, index: int, core: int | None) -> None:
        try:
            self._loop.serve(index, core)
        except Exception:
            log.exception("a thread that answers over udp has ended", thread=self._loop.first + index)

    def _help_out(self) -> None:
        idle = _IDLE
        while not self._stopping:
            misses = self._loop.take(seconds=idle)
            for miss in misses:
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
            idle = _IDLE
            with suppress(Exception):  # what fails here fails again, and is told, when it is asked for
                self._path.reclaim()
                self._responder.tell_of_limits()
                idle = 0.0 if self._responder.rank_ahead() else _IDLE
