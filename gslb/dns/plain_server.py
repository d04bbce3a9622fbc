"""Answers over UDP in plain Python: a blocking socket and a thread, far cheaper than an event loop."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import structlog

from gslb.dns.datagrams import datagrams_of
from gslb.dns.quick import SILENCE
from gslb.dns.responder import Responder

log = structlog.get_logger(__name__)


class PlainServer:
    """Serves one socket, which stays the caller's."""

    def __init__(self, bound: socket.socket, wildcard: bool, responder: Responder, name: str) -> None:
        """wildcard: whether it is bound to one. name: for the log."""
        self._socket = bound
        self._datagrams = datagrams_of(bound, wildcard=wildcard)
        self._responder = responder
        self._name = name
        self._stopping = self._ranking = False
        self._thread = threading.Thread(target=self._serve, name=f"udp {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Return after the queries at hand."""
        self._stopping = True
        if self._thread.is_alive():
            self._wake()
            self._thread.join()

    def _wake(self) -> None:
        """An empty datagram gets no answer, but ends the wait for one; without it the time-out would."""
        with suppress(OSError), socket.socket(self._socket.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._socket.getsockname())

    def _serve(self) -> None:
        while not self._stopping:
            try:
                self._serve_some()
            except BlockingIOError:
                self._rank_ahead()
            except InterruptedError:
                continue
            except OSError as error:
                # An ICMP error of an earlier answer, or a full buffer: the next query is not to blame.
                log.debug("udp", listener=self._name, error=str(error))
            except Exception:
                self._tell_of_fault()

    def _serve_some(self) -> None:
        """Answer what has come, or comes next."""
        datagrams, responder = self._datagrams, self._responder
        received = datagrams.receive(wait=not self._ranking)
        try:
            answers, unanswered = responder.quick.answers(received, responder.clock.now())
        except Exception:
            # The fault is ours: no query must be lost to it.
            self._tell_of_fault()
            answers, unanswered = [SILENCE] * datagrams.count, list(range(datagrams.count))
        if unanswered:
            self._ranking = True  # perhaps they would have been known, if there had been time for more
        for index in unanswered:
            answers[index] = self._made(index)
        datagrams.send(answers)

    def _made(self, index: int) -> bytes:
        """The answer that there is none to repeat for."""
        try:
            host, port = self._datagrams.source(index)
            return self._responder.respond(self._datagrams.packet(index), host, port) or SILENCE
        except Exception:
            self._tell_of_fault()
            return SILENCE

    def _rank_ahead(self) -> None:
        """Use idle time for what somebody would have to wait for later."""
        self._ranking = False
        with suppress(Exception):  # what fails here fails again, and is told, when it is asked for
            self._ranking = self._responder.rank_ahead()

    def _tell_of_fault(self) -> None:
        with suppress(Exception):
            log.exception("a query over udp could not be answered", listener=self._name)
