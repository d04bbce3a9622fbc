"""Bytes that wait: for the rest of a message, or for a peer that does not take them yet."""

from libc.stdint cimport uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

cdef enum:
    SMALLEST_BUFFER = 2048

ctypedef struct Buffer:
    # `size` bytes from `at` on wait; all zero is an empty one that holds no memory.
    uint8_t* data
    size_t at
    size_t size
    size_t room


cdef inline const uint8_t* waiting(const Buffer* buffer) noexcept nogil:
    return buffer.data + buffer.at


cdef inline bint append(Buffer* buffer, const uint8_t* data, size_t size) noexcept nogil:
    """False, and nothing has changed, when there is no memory. `data` may not be the buffer's own."""
    cdef size_t room = buffer.room
    cdef uint8_t* grown
    if size == 0:
        return True
    if buffer.at + buffer.size + size > room:
        if buffer.at:
            memmove(buffer.data, buffer.data + buffer.at, buffer.size)
            buffer.at = 0
        if buffer.size + size > room:
            if room == 0:
                room = SMALLEST_BUFFER
            while buffer.size + size > room:
                room *= 2
            grown = <uint8_t*>realloc(buffer.data, room)
            if grown is NULL:
                return False
            buffer.data = grown
            buffer.room = room
    memcpy(buffer.data + buffer.at + buffer.size, data, size)
    buffer.size += size
    return True


cdef inline void drop(Buffer* buffer, size_t count) noexcept nogil:
    """Forget the first `count` bytes, which wait."""
    buffer.size -= count
    buffer.at = buffer.at + count if buffer.size else 0


cdef inline void release_memory(Buffer* buffer) noexcept nogil:
    free(buffer.data)
    buffer.data = NULL
    buffer.at = buffer.size = buffer.room = 0
