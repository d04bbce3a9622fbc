"""Ids of requests and traces: unlikely to meet again, and of no use as secrets. xoshiro256**, by Blackman and
Vigna."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from edge.compiled.octets cimport IDENTIFIER, LOWER_HEX, Span, end_of, write_bytes, write_text

cdef enum:
    LONGEST_ID = 128
    TRACE_ID = 32  # digits
    TRACE_PARENT = 55  # bytes, without what later versions may add

cdef struct Random:
    # Of one thread. Never all zero, or it would stay so.
    uint64_t state[4]


cdef inline void seed(Random* random, const uint8_t* entropy32) noexcept nogil:
    """entropy32: 32 bytes from the system."""
    memcpy(random.state, entropy32, 32)
    random.state[0] |= 1


cdef inline uint64_t _rotated(uint64_t word, int left) noexcept nogil:
    return word << left | word >> (64 - left)


cdef inline uint64_t draw(Random* random) noexcept nogil:
    """64 bits."""
    cdef uint64_t* state = random.state
    cdef uint64_t drawn = _rotated(state[1] * 5, 7) * 9
    cdef uint64_t shifted = state[1] << 17
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= shifted
    state[3] = _rotated(state[3], 45)
    return drawn


cdef inline void write_hex(uint8_t* into16, uint64_t number) noexcept nogil:
    """16 lower-case hexadecimal digits."""
    cdef const char* digits = b"0123456789abcdef"
    cdef int at
    for at in range(16):
        into16[at] = <uint8_t>digits[number >> (60 - 4 * at) & 15]


cdef inline void hex_id(Random* random, uint8_t* into32) noexcept nogil:
    """32 lower-case hexadecimal digits: a request's id."""
    write_hex(into32, draw(random))
    write_hex(into32 + 16, draw(random))


cdef inline bint is_id(const uint8_t* data, Span value) noexcept nogil:
    cdef size_t end = value.at + value.size
    return 1 <= value.size <= LONGEST_ID and end_of(data, value.at, end, IDENTIFIER) == end


cdef inline bint _is_hex(const uint8_t* digits, size_t size) noexcept nogil:
    return end_of(digits, 0, size, LOWER_HEX) == size


cdef inline bint _is_zero(const uint8_t* digits, size_t size) noexcept nogil:
    cdef size_t at
    for at in range(size):
        if digits[at] != c'0':
            return False
    return True


cdef inline bint is_trace_parent(const uint8_t* parent, size_t size) noexcept nogil:
    """version-trace-parent-flags, and what later versions may add behind a hyphen (W3C Trace Context 3.2)."""
    if size < TRACE_PARENT or parent[2] != c'-' or parent[35] != c'-' or parent[52] != c'-':
        return False
    if not (_is_hex(parent, 2) and _is_hex(parent + 3, TRACE_ID)):
        return False
    if not (_is_hex(parent + 36, 16) and _is_hex(parent + 53, 2)):
        return False
    if parent[0] == c'f' and parent[1] == c'f':
        return False
    if _is_zero(parent + 3, TRACE_ID) or _is_zero(parent + 36, 16):
        return False
    return size == TRACE_PARENT or parent[TRACE_PARENT] == c'-'


cdef inline uint8_t* write_trace_parent(
    uint8_t* at, const uint8_t* request_id, size_t size, Random* random
) noexcept nogil:
    """A trace begins here, unsampled; it has the request's id, if that can be one."""
    at = write_text(at, b"traceparent: 00-")
    if size == TRACE_ID and _is_hex(request_id, size) and not _is_zero(request_id, size):
        at = write_bytes(at, request_id, size)
    else:
        write_hex(at, draw(random))
        write_hex(at + 16, draw(random) | 1)
        at += TRACE_ID
    at = write_text(at, b"-")
    write_hex(at, (draw(random) >> 1) + 1)
    return write_text(at + 16, b"-00\r\n")
