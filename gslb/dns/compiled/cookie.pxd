"""DNS cookies, checked and made: what gslb.dns.cookie does, in the same bytes (RFC 9018 4)."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from gslb.dns.compiled.serving cimport BAD, GOOD, NEW, SettingsState
from gslb.dns.compiled.siphash cimport read_word, siphash, write_word

cdef extern from "<endian.h>" nogil:
    uint32_t be32toh(uint32_t value)
    uint32_t htobe32(uint32_t value)

cdef enum:
    CLIENT_LENGTH = 8
    SHORTEST_COOKIE = 16
    LONGEST_COOKIE = 40
    COOKIE_LENGTH = 24  # of one that is ours: client cookie, version, reserved, timestamp, hash
    SIGNED_LENGTH = 16
    VERSION = 1
    LIFETIME = 3600
    RENEWAL = 1800
    AHEAD = 300


cdef inline bint is_well_formed(size_t length) noexcept nogil:
    """Whether a COOKIE option may have this length (RFC 7873 4, 5.2.2)."""
    return length == CLIENT_LENGTH or SHORTEST_COOKIE <= length <= LONGEST_COOKIE


cdef inline int check_cookie(
    const SettingsState* settings,
    const uint8_t* cookie,
    size_t length,
    const uint8_t* address,
    size_t address_length,
    double now,
    uint8_t* reply,
) noexcept nogil:
    """GOOD, BAD or NEW, and in `reply` the COOKIE_LENGTH bytes to send back. The length is well-formed."""
    cdef uint8_t signed[SIGNED_LENGTH + 16]
    cdef int64_t second = <int64_t>now
    cdef uint32_t made
    cdef int32_t age = 0
    cdef uint64_t hashed
    cdef uint32_t at
    cdef bint good = False
    memcpy(signed + SIGNED_LENGTH, address, address_length)
    if length == COOKIE_LENGTH and cookie[CLIENT_LENGTH] == VERSION:
        memcpy(&made, cookie + 12, 4)
        # Timestamps wrap around, and compare by serial number arithmetic (RFC 1982 3.2).
        age = <int32_t>(<uint32_t>second - be32toh(made))
        if -AHEAD <= age <= LIFETIME:
            # The reserved bytes are hashed as they came: a later version may use them (RFC 9018 4.2).
            memcpy(signed, cookie, SIGNED_LENGTH)
            hashed = read_word(cookie + SIGNED_LENGTH)
            for at in range(settings.secrets):
                if siphash(settings.secret[at], signed, SIGNED_LENGTH + address_length) == hashed:
                    good = True
                    if at == 0 and age <= RENEWAL:
                        memcpy(reply, cookie, COOKIE_LENGTH)
                        return GOOD
                    break
    memcpy(signed, cookie, CLIENT_LENGTH)
    signed[8] = VERSION
    signed[9] = signed[10] = signed[11] = 0
    made = htobe32(<uint32_t>second)
    memcpy(signed + 12, &made, 4)
    memcpy(reply, signed, SIGNED_LENGTH)
    write_word(reply + SIGNED_LENGTH, siphash(settings.secret[0], signed, SIGNED_LENGTH + address_length))
    if good:
        return GOOD
    return BAD if length > CLIENT_LENGTH else NEW
