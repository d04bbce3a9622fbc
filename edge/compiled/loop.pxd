"""What every connection of the compiled path shares, and what the loop calls it by."""

from libc.stdint cimport int64_t, uint32_t, uint8_t

from edge.compiled.identifiers cimport Random
from edge.compiled.octets cimport Limits

cdef enum:
    ROOM = 131072  # bytes that are read at once, and bytes that are written at once
    MOST_HEAD = 32768  # bytes; a longer head, or request with its body, is Python's
    STATUSES = 600
    BOUNDS = 14  # of edge.counters.LATENCY_BOUNDS


cdef class Watched:
    cdef int fd
    cdef uint32_t interest
    cdef readonly Loop loop

    cdef int ready(self, uint32_t events) except -1
    cdef int failed(self) except -1
    cdef int watch(self, uint32_t interest) except -1
    cdef int release(self) except -1
    cdef int close_socket(self) except -1


cdef class Tally:
    cdef object latency
    cdef int64_t counts[BOUNDS + 1]
    cdef double total
    cdef bint touched

    cdef int add(self, Loop loop, double seconds) except -1
    cdef int settle(self) except -1


cdef class Loop:
    cdef readonly object path
    cdef public object terms
    cdef bytes date
    cdef long second
    cdef int epoll
    cdef double now
    cdef uint8_t* inbox
    cdef uint8_t* outbox
    cdef Random random
    cdef Limits limits
    cdef list retired
    cdef bint turning
    cdef list touched
    cdef object counters
    cdef double bounds[BOUNDS]
    cdef int64_t requests
    cdef int64_t in_flight
    cdef int64_t bytes_in
    cdef int64_t bytes_out
    cdef int64_t statuses[STATUSES]
    cdef int seen[64]
    cdef int seen_count

    cdef int responded(self, int status) except -1
