"""The compiled loop answers what it was taught, hands Python the rest, and neither dies nor waits for it."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count

import pytest

from gslb.dns.packing import Cut, Packed

pytest.importorskip("gslb.dns.compiled.loop", reason="the compiled modules are not built")

from gslb.dns.compiled.answering import Book, Exchange, Settings
from gslb.dns.compiled.loop import Loop, Miss

PATIENCE = 20.0
"""Seconds until a test gives up on what should come at once."""

QUESTION = b"\3www\7example\0\0\1"
ADDRESS = bytes.fromhex("c00c0001000100000078000431020304")
KNOWN = Packed(0x8400, ADDRESS, (Cut(len(ADDRESS), 1, 0, 0, False), Cut(0, 0, 0, 0, True)))
_ids = count(1)


def query(question: bytes = QUESTION, *, length: int = 0) -> bytes:
    packet = struct.pack("!6H", next(_ids) & 0xFFFF, 0, 1, 0, 0, 0) + question + b"\0\1"
    return packet.ljust(length, b"\0")


def answer_to(packet: bytes) -> bytes:
    return packet[:2] + struct.pack("!5H", 0x8400, 1, 1, 0, 0) + packet[12:] + ADDRESS


def taught_exchange(threads: int = 1) -> Exchange:
    exchange = Exchange(threads)
    book = Book(exchange, None, 0)
    book.learn_answer(QUESTION, KNOWN)
    exchange.use(book, Settings(1232, None, None, None, True))
    return exchange


def bound(host: str, port: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if ":" in host:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind((host, port))
    return made


def client(host: str) -> socket.socket:
    made = bound(host)
    made.settimeout(PATIENCE)
    return made


@contextmanager
def serving(
    host: str = "127.0.0.1", *, sockets: int = 1, wildcard: bool = False, exchange: Exchange | None = None
) -> Iterator[tuple[Loop, tuple[str, int]]]:
    """A loop with its threads, and where it listens."""
    files = [bound(host)]
    port = files[0].getsockname()[1]
    files += [bound(host, port) for _ in range(sockets - 1)]
    loop = Loop(exchange or taught_exchange(sockets), [each.fileno() for each in files], 0, wildcard=wildcard)
    threads = [threading.Thread(target=loop.serve, args=(index,)) for index in range(sockets)]
    for thread in threads:
        thread.start()
    try:
        yield loop, (host, port)
    finally:
        loop.stop()
        for thread in threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in threads)
        for each in files:
            each.close()


def taken(loop: Loop, how_many: int) -> list[Miss]:
    """So many misses, as soon as they are there."""
    misses: list[Miss] = []
    for _ in range(200):
        if len(misses) >= how_many:
            break
        misses += loop.take(seconds=PATIENCE)
    return misses


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_was_taught_is_answered_without_python(host: str) -> None:
    with serving(host) as (loop, address), client(host) as asker:
        for _ in range(300):
            packet = query()
            asker.sendto(packet, address)
            answer, source = asker.recvfrom(4096)
            assert answer == answer_to(packet)
            assert source[:2] == address
        assert loop.take(seconds=0) == []
        assert loop.exchange.counters()["answered"] == 300


@pytest.mark.parametrize(
    ("host", "local"), [("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "127.0.0.77"), ("::", "::1")]
)
def test_at_a_wildcard_answers_leave_from_the_address_that_was_asked(host: str, local: str) -> None:
    with serving(host, wildcard=True) as (loop, (_, port)), client(local) as asker:
        asker.connect((local, port))  # nothing is received from elsewhere
        known, unknown = query(), query(b"\3new\0\0\1")
        asker.send(known)
        assert asker.recv(4096) == answer_to(known)
        asker.send(unknown)
        (miss,) = taken(loop, 1)
        loop.send(miss, b"by Python")
        assert asker.recv(4096) == b"by Python"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_was_not_is_handed_to_python_as_it_came(host: str) -> None:
    with serving(host) as (loop, address), client(host) as asker:
        packets = [query(b"\3new\0\0\1"), query()[:-1], query() + b"more", bytes(700)]
        for packet in packets:
            asker.sendto(packet, address)
        misses = taken(loop, len(packets))
        assert [miss.packet for miss in misses] == packets
        assert {(miss.source, miss.port) for miss in misses} == {asker.getsockname()[:2]}
        for miss in misses:
            loop.send(miss, b"to " + miss.packet)
        assert [asker.recv(4096) for _ in packets] == [b"to " + packet for packet in packets]


def test_a_query_that_is_too_long_is_handed_on_cut() -> None:
    with serving() as (loop, address), client("127.0.0.1") as asker:
        asker.sendto(query(length=5000), address)
        (miss,) = taken(loop, 1)
        assert len(miss.packet) == 4096


def test_before_anything_was_taught_everything_is_a_miss() -> None:
    with serving(exchange=Exchange(1)) as (loop, address), client("127.0.0.1") as asker:
        packet = query()
        asker.sendto(packet, address)
        assert [miss.packet for miss in taken(loop, 1)] == [packet]


def test_misses_do_not_hold_up_the_answers_that_came_with_them() -> None:
    with serving() as (loop, address), client("127.0.0.1") as asker:
        for _ in range(50):
            asker.sendto(query(b"\3new\0\0\1"), address)
            packet = query()
            asker.sendto(packet, address)
            # Nobody takes the misses, and yet:
            assert asker.recv(4096) == answer_to(packet)
        assert len(taken(loop, 50)) == 50


def test_misses_that_nobody_takes_are_bounded_and_the_others_counted() -> None:
    with serving() as (loop, address), client("127.0.0.1") as asker:
        for _ in range(1500):
            asker.sendto(query(b"\3new\0\0\1"), address)
            packet = query()
            asker.sendto(packet, address)
            asker.recv(4096)  # so that the kernel has not dropped what went before
        assert loop.overloads == loop.exchange.counters()["overloads"] == 1500 - 1024
        assert len(loop.take(most=5000, seconds=0)) == 1024
        # And there is room again.
        asker.sendto(query(b"\3new\0\0\1"), address)
        assert len(taken(loop, 1)) == 1


def test_no_miss_is_lost_or_doubled_between_threads() -> None:
    with serving(sockets=2) as (loop, address):
        got: list[bytes] = []
        known = threading.Event()

        def respond() -> None:
            while not known.is_set():
                for miss in loop.take():
                    got.append(miss.packet)
                    loop.send(miss, miss.packet[:2])

        responder = threading.Thread(target=respond)
        responder.start()
        askers = [client("127.0.0.1") for _ in range(16)]
        packets = []
        for _ in range(100):
            for asker in askers:
                packets.append(query(b"\3new\0\0\1") + os.urandom(8))
                asker.sendto(packets[-1], address)
            for asker, packet in zip(askers, packets[-len(askers) :], strict=True):
                assert asker.recv(4096) == packet[:2]
        known.set()
        responder.join(PATIENCE)
        assert sorted(got) == sorted(packets)
        for asker in askers:
            asker.close()


def test_every_thread_has_its_share_of_the_clients() -> None:
    with serving(sockets=2) as (loop, address):
        for _ in range(64):
            with client("127.0.0.1") as asker:
                packet = query()
                asker.sendto(packet, address)
                assert asker.recv(4096) == answer_to(packet)
        assert loop.exchange.counters()["answered"] == 64


def test_taking_ends_when_the_loop_is_stopped() -> None:
    with serving() as (loop, _):
        waiting = threading.Thread(target=loop.take, kwargs={"seconds": 600.0})
        waiting.start()
        loop.stop()
        waiting.join(PATIENCE)
        assert not waiting.is_alive()


def test_a_loop_that_was_stopped_before_it_began_does_not_begin() -> None:
    with bound("127.0.0.1") as file:
        loop = Loop(taught_exchange(), [file.fileno()], 0, wildcard=False)
        loop.stop()
        loop.serve(0)
        assert loop.take() == []


def test_answers_to_clients_that_are_gone_disturb_nobody() -> None:
    with serving() as (loop, address), client("127.0.0.1") as asker:
        for _ in range(40):
            with client("127.0.0.1") as gone:
                gone.sendto(query(), address)
                gone.sendto(query(b"\3new\0\0\1"), address)
            packet = query()
            asker.sendto(packet, address)
            assert asker.recv(4096) == answer_to(packet)
        for miss in taken(loop, 40):
            loop.send(miss, b"late")


def test_answers_that_cannot_be_sent_are_lost_and_hold_nothing_up() -> None:
    file = bound("127.0.0.1")
    with suppress(OSError):  # it is not connected, and yet sends no more
        file.shutdown(socket.SHUT_WR)
    loop = Loop(taught_exchange(), [file.fileno()], 0, wildcard=False)
    thread = threading.Thread(target=loop.serve, args=(0,))
    with file, client("127.0.0.1") as asker:
        for _ in range(200):
            asker.sendto(query(), file.getsockname())
        asker.sendto(query(b"\3new\0\0\1"), file.getsockname())
        thread.start()
        (miss,) = taken(loop, 1)
        with pytest.raises(BrokenPipeError):
            loop.send(miss, b"answer")
        assert loop.exchange.counters()["answered"] == 200
        loop.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_an_answer_that_is_too_long_is_told_to_whoever_sends_it() -> None:
    with serving() as (loop, address), client("127.0.0.1") as asker:
        asker.sendto(query(b"\3new\0\0\1"), address)
        (miss,) = taken(loop, 1)
        with pytest.raises(OSError, match=os.strerror(errno.EMSGSIZE)):
            loop.send(miss, bytes(70_000))


def test_a_socket_that_was_closed_ends_its_thread_with_an_error() -> None:
    file = bound("127.0.0.1")
    loop = Loop(taught_exchange(), [file.fileno()], 0, wildcard=False)
    file.close()
    with pytest.raises(OSError, match="descriptor"):
        loop.serve(0)


def test_one_socket_has_one_thread() -> None:
    with serving() as (loop, address), client("127.0.0.1") as asker:
        asker.sendto(query(), address)
        asker.recv(4096)
        with pytest.raises(RuntimeError, match="already"):
            loop.serve(0)
        with pytest.raises(IndexError):
            loop.serve(1)


@pytest.mark.parametrize(("first", "sockets"), [(0, 3), (2, 1), (-1, 1), (0, 0)])
def test_more_threads_than_the_exchange_has_are_refused(first: int, sockets: int) -> None:
    with bound("127.0.0.1") as file, pytest.raises(ValueError, match="threads"):
        Loop(Exchange(2), [file.fileno()] * sockets, first, wildcard=False)


def test_what_is_no_socket_is_refused() -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match="socket"):
            Loop(Exchange(1), [reader], 0, wildcard=False)
    finally:
        os.close(reader)
        os.close(writer)


def test_books_are_changed_under_fire() -> None:
    exchange = taught_exchange()
    other = Packed(0x8403, b"", (Cut(0, 0, 0, 0, False),))
    with serving(exchange=exchange) as (_, address), client("127.0.0.1") as asker:
        for turn in range(300):
            book = Book(exchange, None, 0)
            book.learn_answer(QUESTION, KNOWN if turn % 2 else other)
            exchange.use(book, Settings(1232, None, None, None, True))
            packet = query()
            asker.sendto(packet, address)
            assert asker.recv(4096)[3] == (0 if turn % 2 else 3)
    exchange.reclaim()
    assert exchange.retired == 0
