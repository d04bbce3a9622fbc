# cython: language_level=3, boundscheck=False, wraparound=False
"""Serves sockets without the GIL, and hands to Python what the compiled path cannot answer; see loop.pyi."""

import os
import threading
import time

from libc.errno cimport errno
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from gslb.dns.compiled.answering cimport Exchange
from gslb.dns.compiled.atomic cimport load_acquire, load_ordered, load_relaxed, store_ordered, store_release
from gslb.dns.compiled.bell cimport (
    EFD_CLOEXEC,
    EFD_NONBLOCK,
    POLLIN,
    Bell,
    close,
    eventfd,
    poll,
    pollfd,
    read,
    write,
)
from gslb.dns.compiled.datagram cimport *
from gslb.dns.compiled.serving cimport Source
from gslb.dns.compiled.worker cimport (
    RING,
    Passed,
    Worker,
    address_answer,
    read_source,
    serve_socket,
)

cdef extern from "<sys/time.h>" nogil:
    cdef struct timeval:
        long tv_sec
        long tv_usec

cdef extern from "<netdb.h>" nogil:
    int NI_NUMERICHOST
    int getnameinfo(
        const sockaddr* address, socklen_t length, char* host, socklen_t host_room,
        char* service, socklen_t service_room, int flags
    )

cdef enum:
    HOST_ROOM = 128  # characters of an address
    LONGEST_WAIT = 3600  # seconds for one call of `poll`, which counts milliseconds


cdef class Miss:
    """A query that Python is to answer."""

    cdef readonly bytes packet
    cdef readonly str source
    cdef readonly int port
    cdef int _socket
    cdef Route _route

    def __repr__(self):
        return f"<Miss of {len(self.packet)} bytes from {self.source} port {self.port}>"


cdef Miss _miss(Worker* worker, Passed* passed):
    cdef char host[HOST_ROOM]
    cdef Source source
    cdef Miss miss = Miss.__new__(Miss)
    miss.packet = passed.packet[:passed.length]
    miss._route = passed.route
    miss._socket = worker.socket
    if not read_source(&miss._route, &source):
        return None
    miss.port = source.port
    # As Python's own sockets spell an address, an interface behind a link-local one included.
    if getnameinfo(
        <sockaddr*>&miss._route.source, miss._route.source_length, host, HOST_ROOM, NULL, 0, NI_NUMERICHOST
    ):
        return None
    miss.source = host.decode("ascii")
    return miss


cdef class Loop:
    cdef readonly Exchange exchange
    cdef readonly int first
    cdef Worker** _workers
    cdef int _count
    cdef int _next  # the ring to look into first
    cdef Bell _bell
    cdef uint64_t _stopping
    cdef object _taking

    def __cinit__(self, Exchange exchange not None, sockets, int first, *, bint wildcard):
        cdef int which
        cdef list files = [int(each) for each in sockets]
        self._bell.file = -1
        self.exchange = exchange
        self.first = first
        self._taking = threading.Lock()
        if not files or first < 0 or first + len(files) > exchange.threads:
            raise ValueError(f"{len(files)} threads from {first} on, and the exchange has {exchange.threads}")
        self._workers = <Worker**>calloc(len(files), sizeof(Worker*))
        if self._workers is NULL:
            raise MemoryError
        for which in range(len(files)):
            # Zeroed by the kernel page by page: the ring takes memory when it is used.
            self._workers[which] = <Worker*>calloc(1, sizeof(Worker))
            if self._workers[which] is NULL:
                raise MemoryError
            self._workers[which].socket = files[which]
            self._workers[which].thread = first + which
            self._workers[which].wildcard = wildcard
            self._count += 1
            _set_up(files[which], wildcard)
        self._bell.file = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self._bell.file < 0:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        cdef int which
        if self._bell.file >= 0:
            close(self._bell.file)
        for which in range(self._count):
            free(self._workers[which])
        free(self._workers)

    def serve(self, int index):
        cdef Worker* worker = self._worker(index)
        if worker.busy:
            raise RuntimeError(f"a thread serves socket {index} already")
        worker.busy = True
        worker.fault = 0
        with nogil:
            serve_socket(worker, self.exchange.state, &self._bell)
        worker.busy = False
        if worker.fault and not load_acquire(&worker.stopping):
            raise OSError(worker.fault, os.strerror(worker.fault))

    def take(self, int most=64, double seconds=0.5):
        cdef list taken
        cdef double until = time.monotonic() + seconds
        while True:
            with self._taking:
                taken = self._drain(most)
            left = until - time.monotonic()
            if taken or left <= 0 or load_acquire(&self._stopping):
                return taken
            self._wait(left)

    def send(self, Miss miss not None, bytes answer not None):
        cdef msghdr message
        cdef iovec data
        cdef ssize_t sent
        data.iov_base = <void*><char*>answer
        data.iov_len = len(answer)
        message.msg_flags = 0
        address_answer(&message, &miss._route, &data)
        with nogil:
            sent = sendmsg(miss._socket, &message, MSG_DONTWAIT)
        if sent < 0:
            raise OSError(errno, os.strerror(errno))

    def stop(self):
        cdef int which
        cdef uint64_t one = 1
        store_release(&self._stopping, 1)
        for which in range(self._count):
            store_release(&self._workers[which].stopping, 1)
            # Wakes the receiver; that the socket is not connected is known.
            shutdown(self._workers[which].socket, SHUT_RD)
        write(self._bell.file, &one, sizeof(one))

    @property
    def overloads(self):
        cdef int which
        cdef uint64_t dropped = 0
        for which in range(self._count):
            dropped += load_relaxed(&self.exchange.state.counters[self.first + which].overloads)
        return dropped

    cdef Worker* _worker(self, int index) except NULL:
        if not 0 <= index < self._count:
            raise IndexError(f"there is no thread {index}")
        return self._workers[index]

    cdef list _drain(self, int most):
        """What is in the rings, a ring after the other, beginning where the last call did not come to."""
        cdef list taken = []
        cdef Worker* worker
        cdef uint64_t consumed
        cdef int turn
        # No ring may fill a call by itself, or one busy client would keep all others' waiting.
        cdef int share = max(1, most // self._count)
        cdef int until
        for turn in range(self._count):
            worker = self._workers[self._next]
            self._next = (self._next + 1) % self._count
            consumed = load_relaxed(&worker.consumed)
            until = min(most, <int>len(taken) + share)
            while consumed != load_acquire(&worker.produced) and len(taken) < until:
                miss = _miss(worker, &worker.ring[consumed & (RING - 1)])
                consumed += 1
                store_release(&worker.consumed, consumed)
                if miss is not None:
                    taken.append(miss)
            if len(taken) >= most:
                break
        return taken

    cdef bint _is_anything_there(self) noexcept nogil:
        cdef int which
        for which in range(self._count):
            if load_ordered(&self._workers[which].produced) != load_relaxed(&self._workers[which].consumed):
                return True
        return load_acquire(&self._stopping)

    cdef void _wait(self, double seconds) noexcept:
        cdef pollfd polled
        cdef uint64_t value
        polled.fd = self._bell.file
        polled.events = POLLIN
        with nogil:
            store_ordered(&self._bell.asleep, 1)
            if not self._is_anything_there():
                poll(&polled, 1, <int>(min(seconds, LONGEST_WAIT) * 1000) + 1)
            store_ordered(&self._bell.asleep, 0)
            read(self._bell.file, &value, sizeof(value))


cdef int _set_up(int file, bint wildcard) except -1:
    cdef timeval patience
    cdef sockaddr_storage address
    cdef socklen_t length = sizeof(address)
    cdef int on = 1, failed
    patience.tv_sec = 0
    patience.tv_usec = 500_000
    # The kernel's own time-outs: an idle thread looks whether it should stop, a blocked one gives up.
    if (
        setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience))
        or setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience))
        or getsockname(file, <sockaddr*>&address, &length)
    ):
        raise OSError(errno, os.strerror(errno))
    if not wildcard:
        return 0
    if address.ss_family == AF_INET6:
        failed = setsockopt(file, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on))
    else:
        failed = setsockopt(file, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on))
    if failed:
        raise OSError(errno, os.strerror(errno))
    return 0
