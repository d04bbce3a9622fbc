"""When memory that other threads may still read can be freed: once each has said that it has moved on.

A reader publishes the epoch that it begins with, and OFFLINE before it blocks. A writer makes something
unreachable, begins a new epoch, and frees it when every reader is offline or has begun in that epoch or
later. The order of a reader's first two steps against a writer's is what makes this safe (`*_ordered`).
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free

from gslb.dns.compiled.atomic cimport add_ordered, fence, load_ordered, store_ordered, store_release

cdef enum:
    AT_ONCE = 64  # blocks freed on the way by a writer, that it may not stop for long

cdef extern from * nogil:
    """
    #define GSLB_OFFLINE UINT64_MAX
    """
    const uint64_t OFFLINE "GSLB_OFFLINE"

ctypedef struct Retired:
    # The beginning of every block that is ever retired, so that to retire one cannot fail.
    Retired* following
    uint64_t epoch

ctypedef struct Quiet:
    uint64_t epoch
    uint64_t padding[7]  # so that no other thread writes to the same cache line

ctypedef struct Readers:
    uint64_t epoch
    uint64_t threads
    Quiet* quiet
    # Of the writers, who exclude each other by the GIL: the oldest first.
    Retired* oldest
    Retired* newest
    uint64_t waiting


cdef inline void enter(Readers* readers, int thread) noexcept nogil:
    """The thread holds nothing that it read before; what it reads from now on stays until the next call."""
    store_ordered(&readers.quiet[thread].epoch, load_ordered(&readers.epoch))
    fence()  # what is read from here on is read after everybody can see that


cdef inline void leave(Readers* readers, int thread) noexcept nogil:
    """The thread holds nothing, and reads nothing until it enters."""
    store_release(&readers.quiet[thread].epoch, OFFLINE)


cdef inline uint64_t next_epoch(Readers* readers) noexcept nogil:
    """The epoch in which nobody can find any more what was made unreachable before the call."""
    return add_ordered(&readers.epoch, 1) + 1


cdef inline uint64_t oldest_reader(Readers* readers) noexcept nogil:
    """What was retired in this epoch or before is read by nobody."""
    cdef uint64_t oldest = OFFLINE
    cdef uint64_t epoch
    cdef uint64_t thread
    fence()  # what was made unreachable is so before anybody is looked at
    for thread in range(readers.threads):
        epoch = load_ordered(&readers.quiet[thread].epoch)
        if epoch < oldest:
            oldest = epoch
    return oldest


cdef inline void retire(Readers* readers, void* block) noexcept nogil:
    """To be freed when nobody reads it; `block` begins with a Retired, and no reader can find it any more."""
    cdef Retired* retired = <Retired*>block
    if block == NULL:
        return
    retired.following = NULL
    retired.epoch = next_epoch(readers)
    if readers.newest == NULL:
        readers.oldest = retired
    else:
        readers.newest.following = retired
    readers.newest = retired
    readers.waiting += 1


cdef inline void reclaim(Readers* readers, uint64_t most) noexcept nogil:
    """Free at most so many of the blocks that nobody reads."""
    cdef uint64_t oldest
    cdef Retired* retired
    if readers.oldest == NULL:
        return
    oldest = oldest_reader(readers)
    while most and readers.oldest != NULL and readers.oldest.epoch <= oldest:
        retired = readers.oldest
        readers.oldest = retired.following
        if readers.oldest == NULL:
            readers.newest = NULL
        readers.waiting -= 1
        most -= 1
        free(retired)
