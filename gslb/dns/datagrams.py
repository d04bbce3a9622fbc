"""Receives and sends datagrams, on Linux many at a time: a system call for each is dearer than its answer."""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from operator import add
from typing import Protocol

from gslb.dns.packet_info import answer_from
from gslb.dns.query import HEADER_LENGTH
from gslb.dns.query_shapes import Head

LARGEST_DATAGRAM = 4096
"""Bytes read of a query; a longer one is cut, found malformed and answered so. No answer is longer."""

MOST_AT_ONCE = 64
"""Datagrams received by one system call, and sent by another."""


class Datagrams(Protocol):
    """Of one socket, for one thread. count: of those received last."""

    count: int

    def receive(self, *, wait: bool) -> Iterable[tuple[Head, bytes]]:
        """Those that are there, or if there is none and it may `wait`, that come next: each one's head, and
        what follows it, which is empty if not even the head is whole.

        Raises BlockingIOError when there is none (nor was while it waited, for the socket's time-out), and
        other OSErrors.
        """

    def packet(self, index: int) -> bytes:
        """All of one of those received last."""

    def source(self, index: int) -> tuple[str, int]:
        """The address and the port that it came from."""

    def send(self, answers: Sequence[bytes]) -> None:
        """Answer all those received last, each from where it was sent to; an empty answer is none.

        Raises OSError for the last one that could not be sent, when all others have been.
        """


def datagrams_of(bound: socket.socket, *, wildcard: bool) -> Datagrams:
    """The best that there is for a socket, which stays the caller's. wildcard: whether it is bound to one."""
    return Batches(bound, wildcard=wildcard) if batches_work(bound) else Singles(bound, wildcard=wildcard)


_PACKET_AT = 96
_SLOT = _PACKET_AT + LARGEST_DATAGRAM
_NAME_LENGTH, _CONTROL_AT, _CONTROL_LENGTH = 32, 32, 64
_INTERFACE_AT = _CONTROL_AT + 16  # of a struct in_pktinfo, after the control message's header
_PACKETS = tuple(range(_PACKET_AT, _SLOT * MOST_AT_ONCE, _SLOT))
_BODIES = tuple(at + HEADER_LENGTH for at in _PACKETS)
_AFTER_HEADER = LARGEST_DATAGRAM - HEADER_LENGTH
_HEADS = {
    # A struct sockaddr_in or sockaddr_in6, then the packet.
    socket.AF_INET: struct.Struct(f"!2xH4s{_PACKET_AT - 8}x2s10s{_AFTER_HEADER}x"),
    socket.AF_INET6: struct.Struct(f"!2xH4x16s{_PACKET_AT - 24}x2s10s{_AFTER_HEADER}x"),
}
_ANY_INTERFACE = array("I", bytes(4 * MOST_AT_ONCE))
_MSG_WAITFORONE = 0x10000


class _Piece(ctypes.Structure):
    """struct iovec"""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr"""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("pieces", ctypes.c_void_p),
        ("piece_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr"""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


class Batches:
    """By recvmmsg(2) and sendmmsg(2), called through the C library; only where `batches_work`.

    Every datagram has a slot for its sender's address, its control message and its bytes. Its answer takes
    their place, so that one set of headers serves for both directions, and addresses stay as they are.
    """

    def __init__(self, bound: socket.socket, *, wildcard: bool) -> None:
        """wildcard: whether the socket is bound to one, and tells at which address a datagram arrived."""
        self._bound = bound
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._heads = _HEADS[bound.family]
        self._headers_at = _SLOT * MOST_AT_ONCE
        self._pieces_at = self._headers_at + ctypes.sizeof(_Message) * MOST_AT_ONCE
        size = self._pieces_at + ctypes.sizeof(_Piece) * MOST_AT_ONCE
        # Unlike those of a bytearray, the slices of a mapping are bytes.
        self._memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._write_headers(wildcard)
        self._fresh_headers = self._memory[self._headers_at :]
        self._ends: list[int] = []
        self.count = 0
        view = memoryview(self._memory)
        self._slots = view[: self._headers_at]
        # Columns of what lies there row by row: one assignment is for all rows.
        step, at = ctypes.sizeof(_Message) // 4, _Message.length.offset // 4
        self._received = view[self._headers_at : self._pieces_at].cast("I")[at::step]
        self._to_send = view[self._pieces_at :].cast("L")[1::2]
        self._interfaces: memoryview | None = None
        if wildcard and bound.family == socket.AF_INET:
            self._interfaces = self._slots.cast("I")[_INTERFACE_AT // 4 :: _SLOT // 4]

    def receive(self, *, wait: bool) -> Iterable[tuple[Head, bytes]]:
        memory, flags = self._memory, _MSG_WAITFORONE if wait else socket.MSG_DONTWAIT
        memory[self._headers_at :] = self._fresh_headers
        count = self._libc.recvmmsg(*self._messages(0, MOST_AT_ONCE), flags, None)
        if count < 0:
            raise _last_error()
        self.count = count
        self._ends = ends = list(map(add, _PACKETS, self._received[:count]))
        if self._interfaces is not None:
            # An answer leaves by the address that was asked, but through whichever interface leads back.
            self._interfaces[:count] = _ANY_INTERFACE[:count]
        bodies = [memory[start:end] for start, end in zip(_BODIES, ends, strict=False)]
        return zip(self._heads.iter_unpack(self._slots[: count * _SLOT]), bodies, strict=True)

    def packet(self, index: int) -> bytes:
        return self._memory[_PACKETS[index] : self._ends[index]]

    def source(self, index: int) -> tuple[str, int]:
        port, address, _, _ = self._heads.unpack_from(self._memory, index * _SLOT)
        return socket.inet_ntop(self._bound.family, address), port

    def send(self, answers: Sequence[bytes]) -> None:
        memory, count = self._memory, len(answers)
        for start, answer in zip(_PACKETS, answers, strict=False):
            memory[start : start + len(answer)] = answer
        self._to_send[:count] = array("L", map(len, answers))
        first, failure = 0, None
        while first < count:
            if not answers[first]:
                first += 1
                continue
            sent = self._libc.sendmmsg(*self._messages(first, _run_of(answers, first)), 0)
            if sent > 0:
                first += sent
                continue
            error = _last_error()
            if not isinstance(error, InterruptedError):
                failure, first = error, first + 1
        if failure is not None:
            raise failure

    def _messages(self, first: int, count: int) -> tuple[int, ctypes.c_void_p, int]:
        """Arguments for the kernel: so many messages of the socket's."""
        at = self._start + self._headers_at + first * ctypes.sizeof(_Message)
        return self._bound.fileno(), ctypes.c_void_p(at), count

    def _write_headers(self, wildcard: bool) -> None:
        messages = (_Message * MOST_AT_ONCE).from_buffer(self._memory, self._headers_at)
        pieces = (_Piece * MOST_AT_ONCE).from_buffer(self._memory, self._pieces_at)
        for index, (message, piece) in enumerate(zip(messages, pieces, strict=True)):
            slot = self._start + index * _SLOT
            piece.base, piece.length = slot + _PACKET_AT, LARGEST_DATAGRAM
            header = message.header
            header.name, header.name_length = slot, _NAME_LENGTH
            header.pieces, header.piece_count = ctypes.addressof(piece), 1
            if wildcard:
                header.control, header.control_length = slot + _CONTROL_AT, _CONTROL_LENGTH


class Singles:
    """By what Python has for every system, one at a time."""

    def __init__(self, bound: socket.socket, *, wildcard: bool) -> None:
        """wildcard: whether the socket is bound to one, and tells at which address a datagram arrived."""
        self._bound = bound
        self._wildcard = wildcard
        self.count = 1
        self._packet = b""
        self._control: list[tuple[int, int, bytes]] = []
        self._source: tuple[str, int] = ("", 0)

    def receive(self, *, wait: bool) -> Iterable[tuple[Head, bytes]]:
        flags = 0 if wait else socket.MSG_DONTWAIT
        if self._wildcard:
            packet, control, _, source = self._bound.recvmsg(LARGEST_DATAGRAM, _CONTROL_LENGTH, flags)
            self._control = answer_from(control)
        else:
            packet, source = self._bound.recvfrom(LARGEST_DATAGRAM, flags)
        self._packet, self._source = packet, source
        address = socket.inet_pton(self._bound.family, source[0].partition("%")[0])
        head = source[1], address, packet[:2], packet[2:HEADER_LENGTH]
        return ((head, packet[HEADER_LENGTH:]),)

    def packet(self, index: int) -> bytes:
        return (self._packet,)[index]

    def source(self, index: int) -> tuple[str, int]:
        return (self._source,)[index][:2]

    def send(self, answers: Sequence[bytes]) -> None:
        for answer in filter(None, answers):
            if self._wildcard:
                self._bound.sendmsg([answer], self._control, 0, self._source)
            else:
                self._bound.sendto(answer, self._source)


def batches_work(bound: socket.socket) -> bool:
    """Whether this system has what `Batches` needs."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_size_t) != 8:
        return False
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        # For no datagrams at all: a kernel, or a filter of system calls, may not have it.
        return libc.recvmmsg(bound.fileno(), None, 0, 0, None) == 0 and libc.sendmmsg is not None
    except (OSError, AttributeError):
        return False


def _run_of(answers: Sequence[bytes], first: int) -> int:
    """How many answers there are from `first` to the next silence."""
    try:
        return answers.index(b"", first) - first
    except ValueError:
        return len(answers) - first


def _last_error() -> OSError:
    """What the C library's last call failed of, in this thread."""
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))
