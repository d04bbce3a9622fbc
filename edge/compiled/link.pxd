"""A connection to a server, as those see it who ask through it."""

from libc.stdint cimport uint8_t

from edge.compiled.buffer cimport Buffer
from edge.compiled.loop cimport Watched


cdef class Asking(Watched):
    cdef int connected(self) except -1
    cdef int not_connected(self, str reason, bint timed_out) except -1
    cdef int answered(self) except -1


cdef class Link(Watched):
    cdef readonly object server
    cdef readonly bytes marks
    cdef public double opened_at
    cdef public double idle_since
    cdef Asking asking
    cdef bint connecting
    cdef bint paused
    cdef Buffer unsent
    cdef Buffer head

    cdef int take(self, int fd) except -1
    cdef int begin(self, bytes address) except -1
    cdef int established(self) except -1
    cdef int flush(self) except -1
    cdef int write(self, const uint8_t* data, size_t size) except -1
    cdef int pause(self) except -1
    cdef int resume(self) except -1
    cdef int leave(self) except -1
