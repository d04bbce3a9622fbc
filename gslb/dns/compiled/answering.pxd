"""What the loop calls: an exchange of books and settings between threads, and the answer to one packet."""

from libc.stdint cimport uint8_t

from gslb.dns.compiled.book cimport Book as BookType, Epochs
from gslb.dns.compiled.reclaim cimport Readers
from gslb.dns.compiled.serving cimport Counters, Serving, SettingsState, Source

cdef enum:
    # What `answer_packet` returns when Python is to answer, and when nobody is.
    MISS = -1
    SILENCE = 0

ctypedef struct ExchangeState:
    Readers* readers
    Serving* serving  # NULL as long as `use` was not called
    Counters* counters  # of each thread


# Thread numbers go from 0 to `Exchange.threads` - 1. What `exchange_enter` returns holds until the thread's
# next `exchange_enter` (one for each batch) or `exchange_leave` (before it blocks); NULL: all are misses.
cdef Serving* exchange_enter(ExchangeState* exchange, int thread) noexcept nogil
cdef void exchange_leave(ExchangeState* exchange, int thread) noexcept nogil

# The length of the answer that was written to `out`, else SILENCE or MISS. now: seconds since 1970.
# room: bytes that `out` has. `counters` are those of the thread: `&exchange.counters[thread]`.
cdef int answer_packet(
    Serving* serving,
    Counters* counters,
    const uint8_t* packet,
    size_t length,
    const Source* source,
    double now,
    uint8_t* out,
    size_t room,
) noexcept nogil


cdef class Settings:
    cdef SettingsState state
    cdef object _limiter
    cdef int _trust(self, object networks) except -1
    cdef void _add(self, uint8_t version, const uint8_t* address, const uint8_t* mask) noexcept
    cdef int _keep_secrets(self, object list_of_secrets) except -1


cdef class Exchange:
    cdef ExchangeState* state
    cdef readonly int threads
    cdef readonly Epochs epochs
    cdef BookType _book
    cdef Settings _settings
    cdef list _retired
