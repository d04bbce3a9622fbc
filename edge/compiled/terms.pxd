"""What the compiled path serves by, as a client's connection looks it up."""

from libc.stdint cimport int64_t

from edge.compiled.loop cimport Tally


cdef class Way:
    cdef object route
    cdef object pool
    cdef dict waiting  # who waits for a server of the pool
    cdef object retry_on
    cdef int64_t most
    cdef Tally tally
    cdef Tally service_tally
    cdef object service
    cdef bint plain
    cdef bint timed
    cdef bint loaded
    cdef object concurrency
    cdef object priority
    cdef object rates
    cdef double total
    cdef double connect
    cdef double first_byte
    cdef double idle


cdef class Terms:
    cdef object find
    cdef object settings
    cdef object by_name
    cdef object rates
    cdef object services
    cdef bytes health_path
    cdef bytes via
    cdef bytes via_token
    cdef bytes region_mark
    cdef object max_body
    cdef dict ways
    cdef dict remembered
    cdef int depth
    cdef dict tallies
    cdef dict addresses
    cdef long max_requests
    cdef double write_timeout
    cdef double idle_timeout
    cdef double body_timeout

    cdef Way way(
        self, bytes host, const char* path, size_t path_size, const char* method, size_t method_size
    )
    cdef Way found(self, bytes host, bytes path, bytes method)
    cdef Tally tally(self, object name, object latency)
    cdef bytes address(self, object server)
