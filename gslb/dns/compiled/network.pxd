"""Addresses: in which span of the network map one is, and whether it is on a list of networks."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gslb.dns.compiled.atomic cimport prefetch

cdef extern from "<endian.h>" nogil:
    uint64_t be64toh(uint64_t value)
    uint32_t be32toh(uint32_t value)

from libc.string cimport memcpy

cdef enum:
    UNMAPPED = 0

ctypedef struct Prefix:
    uint8_t version
    uint64_t high  # of the network, host bits zero; IPv4 in the upper half of `high`
    uint64_t low
    uint64_t high_mask
    uint64_t low_mask

ctypedef struct Spans:
    # The columns of gslb.geo.network_map.Spans. Exactly one of the starts is there.
    const uint32_t* starts4
    const uint64_t* starts6
    const uint32_t* vantages
    const uint8_t* prefix_lengths
    const uint32_t* heads


cdef inline uint64_t high_of(const uint8_t* address, uint8_t version) noexcept nogil:
    """The address's first 64 bits; of IPv4 all, followed by zeros."""
    cdef uint64_t high
    cdef uint32_t number
    if version == 4:
        memcpy(&number, address, 4)
        return <uint64_t>be32toh(number) << 32
    memcpy(&high, address, 8)
    return be64toh(high)


cdef inline uint64_t low_of(const uint8_t* address, uint8_t version) noexcept nogil:
    """The address's last 64 bits; of IPv4 zero."""
    cdef uint64_t low
    if version == 4:
        return 0
    memcpy(&low, address + 8, 8)
    return be64toh(low)


cdef inline bint is_listed(
    const Prefix* prefixes, uint32_t count, const uint8_t* address, uint8_t version
) noexcept nogil:
    """Whether one of the networks includes the address."""
    cdef uint64_t high = high_of(address, version)
    cdef uint64_t low = low_of(address, version)
    cdef uint32_t at
    for at in range(count):
        if (
            prefixes[at].version == version
            and not (high ^ prefixes[at].high) & prefixes[at].high_mask
            and not (low ^ prefixes[at].low) & prefixes[at].low_mask
        ):
            return True
    return False


cdef inline void _expect(const Spans* spans, uint32_t at) noexcept nogil:
    """The search ends near there: what is read then may be fetched beside what the search reads."""
    prefetch(&spans.vantages[at])
    prefetch(&spans.prefix_lengths[at])


cdef inline uint32_t span_of4(const Spans* spans, uint32_t number) noexcept nogil:
    """The index of the last span that begins at `number` or before it."""
    cdef uint32_t first = spans.heads[number >> 16] - 1
    cdef uint32_t left = spans.heads[(number >> 16) + 1] - first
    cdef uint32_t half
    _expect(spans, first + (left >> 1))
    while left > 1:
        # Without a branch, which would be guessed wrong half of the time.
        half = left >> 1
        first += half if spans.starts4[first + half] <= number else 0
        left -= half
    return first


cdef inline uint32_t span_of6(const Spans* spans, uint64_t upper) noexcept nogil:
    """The same for the upper 64 bits of an IPv6 address."""
    cdef uint32_t first = spans.heads[upper >> 48] - 1
    cdef uint32_t left = spans.heads[(upper >> 48) + 1] - first
    cdef uint32_t half
    _expect(spans, first + (left >> 1))
    while left > 1:
        half = left >> 1
        first += half if spans.starts6[first + half] <= upper else 0
        left -= half
    return first


cdef inline bint carries_ipv4(uint64_t high) noexcept nogil:
    """Whether addresses with these first 64 bits may carry an IPv4 address: its share is theirs, and how
    many bits of it the scope covers, is for Python to say (gslb.geo.transition)."""
    cdef uint64_t top = high >> 16
    return top == 0 or top == 0x0064FF9B0000ULL or high >> 48 == 0x2002 or high >> 32 == 0x20010000
