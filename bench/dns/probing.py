"""A thin, steady stream of questions whose every answer is looked into, beside load that is only counted."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from asking import Told, query_packet, told
from world import ZONE, Sample

_IDS = 1 << 16
_SO_TIMESTAMPNS = 35  # Linux's number; Python has no name for it
_TIMESPEC = struct.Struct("ll")
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size)


@dataclass(frozen=True, slots=True)
class Probe:
    """A question and its answer. Moments are those of time.monotonic()."""

    name: str
    sample: Sample
    sent_at: float
    received_at: float
    answer: Told


class Prober:
    """Asks at even intervals from a thread of its own, within `with`; `heard` is called there.

    choose: the name (within the zone) and the client to ask for next. interval, patience: seconds.
    """

    def __init__(
        self,
        port: int,
        choose: Callable[[], tuple[str, Sample]],
        heard: Callable[[Probe], None],
        *,
        interval: float,
        patience: float,
    ) -> None:
        self._choose, self._heard = choose, heard
        self._interval, self._patience = interval, patience
        self._waiting: dict[int, tuple[str, Sample, float]] = {}
        self._stopping = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)
        self.sent = 0
        self.answered = 0
        self.lost = 0
        self.failure: BaseException | None = None

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        try:
            self._ask_and_listen()
        except BaseException as error:
            self.failure = error  # the one who reads the results must know that there are no more

    def _ask_and_listen(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            now = time.monotonic()
            if now >= due:
                self._ask(now)
                due = max(due + self._interval, now)
                self._give_up(now)
            select.select([self._socket], [], [], max(0.0, due - time.monotonic()))
            self._listen()
        end = time.monotonic() + self._patience
        while self._waiting and time.monotonic() < end:
            select.select([self._socket], [], [], 0.05)
            self._listen()
        self.lost += len(self._waiting)

    def _ask(self, now: float) -> None:
        name, sample = self._choose()
        identity = self.sent % _IDS
        with suppress(OSError):  # of a server that has gone; the query counts as lost
            self._socket.send(query_packet(identity, f"{name}.{ZONE}", sample.network))
        self._waiting[identity] = (name, sample, now)
        self.sent += 1

    def _listen(self) -> None:
        while True:
            try:
                packet, ancillary, _, _ = self._socket.recvmsg(4096, _ANCILLARY)
            except OSError:
                return
            now = time.monotonic() - _age(ancillary)
            with suppress(ValueError):
                answer = told(packet)
                asked = self._waiting.pop(answer.identity, None)
                if asked is not None:
                    self.answered += 1
                    self._heard(Probe(*asked, now, answer))

    def _give_up(self, now: float) -> None:
        # They were asked in this order, so that the first one that may still come ends the look.
        while self._waiting:
            identity, (_, _, sent_at) = next(iter(self._waiting.items()))
            if now - sent_at <= self._patience:
                return
            del self._waiting[identity]
            self.lost += 1


def _age(ancillary: list[tuple[int, int, bytes]]) -> float:
    """Seconds since the packet came, by the kernel's stamp: this thread may have had to wait for its turn."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack(data[: _TIMESPEC.size])
            age: float = time.time() - seconds - nanoseconds / 1e9
            return max(0.0, age)
    return 0.0
