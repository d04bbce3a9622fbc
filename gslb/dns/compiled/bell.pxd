"""Wakes the one Python thread that waits for queries, and costs nothing while it is awake anyway."""

from libc.stdint cimport uint64_t

from gslb.dns.compiled.atomic cimport load_ordered, replace

cdef extern from "<poll.h>" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    short POLLIN
    int poll(pollfd* polled, unsigned long how_many, int milliseconds)

cdef extern from "<sys/eventfd.h>" nogil:
    int EFD_CLOEXEC, EFD_NONBLOCK
    int eventfd(unsigned int value, int flags)

cdef extern from "<unistd.h>" nogil:
    ssize_t read(int file, void* into, size_t length)
    ssize_t write(int file, const void* what, size_t length)
    int close(int file)

# Of a loop; whoever hands something on looks here whether Python must be woken.
cdef struct Bell:
    int file
    uint64_t asleep


cdef inline void ring_bell(Bell* bell) noexcept nogil:
    cdef uint64_t asleep = 1
    # Whoever takes it sets `asleep` before it looks into the rings for the last time.
    if load_ordered(&bell.asleep) and replace(&bell.asleep, &asleep, 0):
        asleep = 1
        write(bell.file, &asleep, sizeof(asleep))
