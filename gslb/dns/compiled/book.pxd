"""The tables of one configuration, and what tells when their memory can be freed."""

from libc.stdint cimport uint64_t

from gslb.dns.compiled.network cimport Spans
from gslb.dns.compiled.reclaim cimport Readers
from gslb.dns.compiled.serving cimport BookState

cdef enum:
    COLUMNS = 8  # of the network map, for both families


cdef class Epochs:
    cdef Readers readers


cdef class Book:
    cdef BookState state
    cdef readonly Epochs epochs
    cdef Py_buffer _columns[COLUMNS]
    cdef int _held
    cdef int _hold(self, Spans* spans, object columns, Py_ssize_t start_size) except -1
    cdef const void* _column(self, object column, Py_ssize_t item, Py_ssize_t count) except NULL
    cdef int _learn(self, void* table, uint64_t key, void* block) except -1
