"""SipHash-2-4: what hashes here can neither be forged (cookies) nor made to collide (tables)."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

cdef extern from "<endian.h>" nogil:
    uint64_t le64toh(uint64_t value)
    uint64_t htole64(uint64_t value)

ctypedef struct SipKey:
    uint64_t first
    uint64_t second


cdef inline uint64_t read_word(const uint8_t* at) noexcept nogil:
    """Eight bytes as a number, little-endian."""
    cdef uint64_t word
    memcpy(&word, at, 8)
    return le64toh(word)


cdef inline void write_word(uint8_t* at, uint64_t word) noexcept nogil:
    """A number as eight bytes, little-endian: a hash as cookies bring it (RFC 9018 4.4)."""
    word = htole64(word)
    memcpy(at, &word, 8)


cdef inline SipKey sip_key(const uint8_t* key) noexcept nogil:
    """From the 16 bytes at `key`."""
    cdef SipKey made
    made.first = read_word(key)
    made.second = read_word(key + 8)
    return made


cdef inline uint64_t _left(uint64_t word, int bits) noexcept nogil:
    return word << bits | word >> (64 - bits)


cdef inline void _round(uint64_t* v) noexcept nogil:
    v[0] += v[1]
    v[2] += v[3]
    v[1] = _left(v[1], 13) ^ v[0]
    v[3] = _left(v[3], 16) ^ v[2]
    v[0] = _left(v[0], 32)
    v[2] += v[1]
    v[0] += v[3]
    v[1] = _left(v[1], 17) ^ v[2]
    v[3] = _left(v[3], 21) ^ v[0]
    v[2] = _left(v[2], 32)


cdef inline uint64_t siphash(SipKey key, const uint8_t* data, size_t length) noexcept nogil:
    """SipHash-2-4 of `length` bytes; as bytes, as the function is usually defined: `write_word` of it."""
    cdef uint64_t v[4]
    cdef uint64_t word
    cdef size_t at = 0
    cdef int byte = 0
    v[0] = key.first ^ 0x736F6D6570736575ULL
    v[1] = key.second ^ 0x646F72616E646F6DULL
    v[2] = key.first ^ 0x6C7967656E657261ULL
    v[3] = key.second ^ 0x7465646279746573ULL
    while at + 8 <= length:
        word = read_word(data + at)
        v[3] ^= word
        _round(v)
        _round(v)
        v[0] ^= word
        at += 8
    word = <uint64_t>length << 56
    while at < length:
        word |= <uint64_t>data[at] << (8 * byte)
        byte += 1
        at += 1
    v[3] ^= word
    _round(v)
    _round(v)
    v[0] ^= word
    v[2] ^= 0xFF
    _round(v)
    _round(v)
    _round(v)
    _round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]
