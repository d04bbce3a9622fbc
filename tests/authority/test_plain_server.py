"""Answering over UDP without the compiled loop: many datagrams at a time, and none that holds up another."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from fleets import NOW, authority, fleet
from fuzz.corpus import query

from gslb.clock import FakeClock
from gslb.dns import datagrams
from gslb.dns.datagrams import MOST_AT_ONCE, Batches, Datagrams, Singles
from gslb.dns.plain_server import PlainServer
from gslb.dns.quick import Quick
from gslb.dns.responder import Responder
from gslb.dns.udp import UdpListener
from gslb.fleet import SocketAddress

PATIENCE = 20.0
"""Seconds until a test gives up on what should come at once."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has recvmmsg and 127.0.0.0/8")
PACKET = query("www.shop.test", "A")


@pytest.fixture(params=["many at a time", "one at a time"])
def _receiving(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "one at a time":
        monkeypatch.setattr(datagrams, "batches_work", lambda bound: False)
    elif sys.platform != "linux":
        pytest.skip("only Linux has recvmmsg")


both_ways = pytest.mark.usefixtures("_receiving")


@contextmanager
def listening(host: str = "127.0.0.1") -> Iterator[tuple[Responder, tuple[str, int]]]:
    """A listener that answers, and where."""
    responder = Responder(authority(fleet()), FakeClock(NOW))
    listener = UdpListener(SocketAddress(host, 0), responder)
    listener.start()
    try:
        yield responder, (host, listener.port)
    finally:
        listener.stop()


def bound(host: str = "127.0.0.1") -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, 0))
    made.settimeout(PATIENCE)
    return made


def numbered(number: int, packet: bytes = PACKET) -> bytes:
    return struct.pack("!H", number) + packet[2:]


@both_ways
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_every_client_gets_the_answers_to_its_own_queries(host: str) -> None:
    with listening(host) as (responder, address):
        askers = [bound(host) for _ in range(5)]
        # So few that no buffer overflows, and so many that some come together.
        for turn in range(20):
            for number, asker in enumerate(askers):
                asker.sendto(numbered(turn * 100 + number), address)
        for number, asker in enumerate(askers):
            with asker:
                answers = [asker.recv(4096) for _ in range(20)]
                expected = [numbered(turn * 100 + number) for turn in range(20)]
                assert sorted(answer[:2] for answer in answers) == [each[:2] for each in expected]
                assert {answer[12:] for answer in answers} == {responder.respond(PACKET, host, 5000)[12:]}


@both_ways
def test_silence_among_answers_shifts_none_of_them() -> None:
    with listening() as (_, address), bound() as asker:
        for number in range(90):
            asker.sendto((b"", b"runt", b"\0\0\x80" + PACKET[3:])[number % 3], address)
            asker.sendto(numbered(number), address)
        assert [asker.recv(4096)[:2] for _ in range(90)] == [numbered(number)[:2] for number in range(90)]


@both_ways
def test_a_query_that_is_too_long_is_cut_and_found_malformed() -> None:
    with listening() as (_, address), bound() as asker:
        asker.sendto(PACKET.ljust(5000, b"\0"), address)
        assert asker.recv(4096)[3] & 15 == 1


@both_ways
def test_what_was_asked_before_is_not_made_again() -> None:
    with listening() as (responder, address), bound() as asker:
        for number in range(6):
            asker.sendto(numbered(number, query("shop.test", "SOA")), address)
            asker.recv(4096)
        assert responder.hits == 5
        assert responder.queries == 6


@linux
@both_ways
@pytest.mark.parametrize(
    ("host", "local"), [("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "127.0.0.77"), ("::", "::1")]
)
def test_at_a_wildcard_answers_leave_from_the_address_that_was_asked(host: str, local: str) -> None:
    with listening(host) as (_, (_, port)), bound(local) as asker:
        asker.connect((local, port))  # nothing is received from elsewhere
        for number in range(10):
            asker.send(numbered(number))
        assert [asker.recv(4096)[:2] for _ in range(10)] == [numbered(number)[:2] for number in range(10)]


@both_ways
def test_answers_to_clients_that_are_gone_disturb_nobody() -> None:
    with listening() as (_, address), bound() as asker:
        for number in range(40):
            with bound() as gone:
                gone.sendto(PACKET, address)
            asker.sendto(numbered(number), address)
            assert asker.recv(4096)[:2] == numbered(number)[:2]


@both_ways
def test_what_cannot_be_repeated_for_a_fault_is_answered_by_the_responder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(Quick, "answers", fail)
    with listening() as (_, address), bound() as asker:
        for number in range(5):
            asker.sendto(numbered(number), address)
            assert asker.recv(4096)[:2] == numbered(number)[:2]


@both_ways
def test_a_fault_of_ours_loses_the_one_query(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as (responder, address), bound() as asker:
        respond = responder.respond

        def fail_once(packet: bytes, source: str, port: int) -> bytes | None:
            if packet[:2] == b"\0\5":
                raise RuntimeError("a fault")
            return respond(packet, source, port)

        monkeypatch.setattr(responder, "respond", fail_once)
        for number in range(10):
            asker.sendto(numbered(number), address)
        told = [asker.recv(4096)[:2] for _ in range(9)]
        assert told == [numbered(number)[:2] for number in range(10) if number != 5]


@both_ways
def test_a_server_that_is_idle_stops_at_once() -> None:
    with bound() as file:
        file.settimeout(None)  # and the kernel has no time-out for it either
        server = PlainServer(file, False, Responder(authority(fleet()), FakeClock(NOW)), "test")
        server.start()
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        stopping.join(PATIENCE)
        assert not stopping.is_alive()


@both_ways
def test_idle_time_is_used_to_rank_ahead() -> None:
    ranked = threading.Event()
    left = [True] * 5

    class Ranking(Responder):
        def rank_ahead(self) -> bool:
            if not left:
                ranked.set()
            if len(left) == 3:
                left.pop()
                raise RuntimeError("a fault")
            return bool(left) and left.pop()

    responder = Ranking(authority(fleet()), FakeClock(NOW))
    listener = UdpListener(SocketAddress("127.0.0.1", 0), responder)
    listener.start()
    try:
        assert ranked.wait(PATIENCE)
        with bound() as asker:
            asker.sendto(PACKET, ("127.0.0.1", listener.port))
            assert asker.recv(4096)[:2] == PACKET[:2]
    finally:
        listener.stop()


# Datagrams themselves.


@pytest.fixture(params=[pytest.param(Batches, marks=linux), Singles])
def made(request: pytest.FixtureRequest) -> Iterator[tuple[Datagrams, socket.socket]]:
    with bound() as file:
        file.settimeout(None)
        yield request.param(file, wildcard=False), file


def test_a_datagram_comes_with_all_that_there_is_to_know_of_it(
    made: tuple[Datagrams, socket.socket],
) -> None:
    received, file = made
    packets = [b"", b"ID", b"a header and", b"a header and more", bytes(2000), b"ID"]
    with bound() as asker:
        for packet in packets:
            asker.sendto(packet, file.getsockname())
        seen: list[bytes] = []
        while len(seen) < len(packets):
            for index, ((port, address, identifier, header), body) in enumerate(received.receive(wait=True)):
                packet = received.packet(index)
                assert (socket.inet_ntoa(address), port) == asker.getsockname() == received.source(index)
                assert body == packet[12:]
                assert not body or identifier + header == packet[:12]
                seen.append(packet)
            assert index + 1 == received.count
        assert seen == packets


def test_who_does_not_wait_hears_that_there_is_nothing(made: tuple[Datagrams, socket.socket]) -> None:
    received, _ = made
    with pytest.raises(BlockingIOError):
        list(received.receive(wait=False))


def test_a_socket_that_is_closed_is_told(made: tuple[Datagrams, socket.socket]) -> None:
    received, file = made
    file.close()
    with pytest.raises(OSError, match="descriptor"):
        list(received.receive(wait=True))


@linux
def test_no_more_than_a_batch_comes_at_once() -> None:
    with bound() as file, bound() as asker:
        received = Batches(file, wildcard=False)
        for number in range(MOST_AT_ONCE + 6):
            asker.sendto(bytes((number,)) * 20, file.getsockname())
        assert len(list(received.receive(wait=True))) == MOST_AT_ONCE
        assert len(list(received.receive(wait=True))) == received.count == 6
        assert received.packet(5) == bytes((MOST_AT_ONCE + 5,)) * 20


class Flaky:
    """The C library, which sends at most three messages a call and sometimes fails first."""

    def __init__(self, libc: object, failures: list[int], fail: Callable[[int], None]) -> None:
        self._libc = libc
        self._failures = failures
        self._fail = fail

    def __getattr__(self, name: str) -> object:
        return getattr(self._libc, name)

    def sendmmsg(self, file: int, messages: object, count: int, flags: int) -> int:
        if self._failures and (failure := self._failures.pop(0)):
            self._fail(failure)
            return -1
        sent: int = self._libc.sendmmsg(file, messages, min(count, 3), flags)  # type: ignore[attr-defined]
        return sent


@linux
def test_what_is_not_sent_in_one_call_is_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    with bound() as file, bound() as asker:
        received = Batches(file, wildcard=False)
        # Interrupted, three sent, one failed, and so on.
        failures = [errno.EINTR, 0, errno.ENOBUFS, 0, errno.EINTR, 0]
        monkeypatch.setattr(received, "_libc", Flaky(received._libc, failures, ctypes.set_errno))
        for number in range(10):
            asker.sendto(bytes((number,)) * 20, file.getsockname())
        answers = [b"to " + body for _, body in received.receive(wait=True)]
        answers[5] = b""
        with pytest.raises(OSError, match=os.strerror(errno.ENOBUFS)):
            received.send(answers)
        expected = [answer for number, answer in enumerate(answers) if number not in (3, 5)]
        assert [asker.recv(4096) for _ in expected] == expected


@linux
def test_a_socket_that_sends_no_more_is_told_once_for_all() -> None:
    with bound() as file, bound() as asker:
        received = Batches(file, wildcard=False)
        for _ in range(3):
            asker.sendto(bytes(20), file.getsockname())
        list(received.receive(wait=True))
        with suppress(OSError):  # it is not connected, and yet sends no more
            file.shutdown(socket.SHUT_WR)
        with pytest.raises(BrokenPipeError):
            received.send([b"answer"] * 3)


@linux
@pytest.mark.parametrize("missing", ["recvmmsg", "the call itself"])
def test_without_the_system_calls_there_is_another_way(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def __init__(self, *_: object, **__: object) -> None:
            if missing != "recvmmsg":
                self.recvmmsg = self.sendmmsg = lambda *_: -1

    with bound() as file:
        assert isinstance(datagrams.datagrams_of(file, wildcard=False), Batches)
        monkeypatch.setattr("ctypes.CDLL", Library)
        assert isinstance(datagrams.datagrams_of(file, wildcard=False), Singles)
