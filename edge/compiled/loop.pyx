# cython: language_level=3, boundscheck=False, wraparound=False
"""Turns to each connection that has something to say, and settles what was counted meanwhile; see loop.pyi."""

import os

from libc.errno cimport errno
from libc.stdlib cimport free, malloc
from libc.time cimport time

from edge.compiled.identifiers cimport seed
from edge.compiled.sockets cimport *

from edge.counters import LATENCY_BOUNDS
from edge.http1.date import date_line

cdef enum:
    BATCH = 256
    TURNS = 16  # batches before everybody else in the process has a turn


cdef class Watched:
    """A socket that the loop looks at. Once closed, its `fd` is -1 and nothing happens to it any more."""

    def __cinit__(self):
        self.fd = -1

    cdef int ready(self, uint32_t events) except -1:
        """The kernel has something to say about it."""
        return 0

    cdef int failed(self) except -1:
        """A fault of ours: end it without another word."""
        return self.close_socket()

    cdef int watch(self, uint32_t interest) except -1:
        """Be told of these events from now on; of nothing at all with 0."""
        cdef epoll_event event
        cdef int operation = EPOLL_CTL_MOD
        if interest == self.interest or self.fd < 0:
            return 0
        if interest == 0:
            operation = EPOLL_CTL_DEL
        elif self.interest == 0:
            operation = EPOLL_CTL_ADD
        event.events = interest
        event.data.ptr = <void*>self
        if epoll_ctl(self.loop.epoll, operation, self.fd, &event) < 0:
            raise OSError(errno, "epoll_ctl")
        self.interest = interest
        return 0

    cdef int release(self) except -1:
        """Stop watching and give the descriptor away."""
        cdef int fd = self.fd
        self.watch(0)
        self.fd = -1
        if self.loop.turning:
            self.loop.retired.append(self)
        return fd

    cdef int close_socket(self) except -1:
        cdef int fd
        if self.fd >= 0:
            fd = self.release()
            close(fd)
        return 0

    def __dealloc__(self):
        if self.fd >= 0:
            close(self.fd)


cdef class Tally:
    """What came in one pool since the last turn, as edge.counters.Latency counts it."""

    def __cinit__(self, latency):
        self.latency = latency

    cdef int add(self, Loop loop, double seconds) except -1:
        cdef int at = 0
        while at < BOUNDS and seconds > loop.bounds[at]:
            at += 1
        self.counts[at] += 1
        self.total += seconds
        if not self.touched:
            self.touched = True
            loop.touched.append(self)
        return 0

    cdef int settle(self) except -1:
        cdef int at
        cdef list counts = self.latency.counts
        self.latency.total += self.total
        self.total = 0.0
        for at in range(BOUNDS + 1):
            if self.counts[at]:
                counts[at] += self.counts[at]
                self.counts[at] = 0
        self.touched = False
        return 0


cdef class Loop:
    def __cinit__(self, path, counters):
        cdef bytes entropy = os.urandom(32)
        self.path = path
        self.counters = counters
        self.retired = []
        self.touched = []
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            raise OSError(errno, "epoll_create1")
        self.inbox = <uint8_t*>malloc(ROOM)
        self.outbox = <uint8_t*>malloc(ROOM)
        if self.inbox is NULL or self.outbox is NULL:
            raise MemoryError
        seed(&self.random, <const uint8_t*><char*>entropy)
        assert len(LATENCY_BOUNDS) == BOUNDS
        for at, bound in enumerate(LATENCY_BOUNDS):
            self.bounds[at] = bound

    def __dealloc__(self):
        if self.epoll >= 0:
            close(self.epoll)
        free(self.inbox)
        free(self.outbox)

    def fileno(self):
        return self.epoll

    def limit(self, first_line, head, fields):
        self.limits.first_line = first_line
        self.limits.head = min(head, MOST_HEAD)
        self.limits.fields = min(fields, 127)

    def turn(self):
        cdef epoll_event events[BATCH]
        cdef int at, count, turns
        cdef Watched watched
        self.turning = True
        try:
            for turns in range(TURNS):
                count = epoll_wait(self.epoll, events, BATCH, 0)
                if count <= 0:
                    break
                self.now = monotonic()
                if time(NULL) != self.second:
                    self.second = time(NULL)
                    self.date = date_line(self.second)
                for at in range(count):
                    # Whoever is closed meanwhile is kept in `retired`.
                    watched = <Watched>events[at].data.ptr
                    if watched.fd < 0:
                        continue
                    try:
                        watched.ready(events[at].events)
                    except Exception:
                        self.path.fault()
                        watched.failed()
                self.retired.clear()
        finally:
            self.turning = False
            self.settle()

    def settle(self):
        """Have everything counted where the rest of the process looks for it."""
        cdef int at, status
        cdef Tally tally
        counters = self.counters
        if self.requests:
            counters.requests += self.requests
            self.requests = 0
        if self.in_flight:
            counters.in_flight += self.in_flight
            self.in_flight = 0
        if self.bytes_in:
            counters.bytes_in += self.bytes_in
            self.bytes_in = 0
        if self.bytes_out:
            counters.bytes_out += self.bytes_out
            self.bytes_out = 0
        if self.seen_count:
            responses = counters.responses
            for at in range(self.seen_count):
                status = self.seen[at]
                responses[status] = responses.get(status, 0) + self.statuses[status]
                if status >= 500:
                    counters.errors += self.statuses[status]
                self.statuses[status] = 0
            self.seen_count = 0
        if self.touched:
            for tally in self.touched:
                tally.settle()
            self.touched.clear()

    cdef int responded(self, int status) except -1:
        if self.statuses[status] == 0:
            if self.seen_count == 64:
                self.settle()
            self.seen[self.seen_count] = status
            self.seen_count += 1
        self.statuses[status] += 1
        return 0
