"""What the compiled answer path knows of the limiter: one call, and the object that owns what it works on."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from gslb.dns.compiled.siphash cimport SipKey

cdef enum:
    SEND = 0
    SLIP = 1
    DROP = 2
    BEGUN = 16  # remembered beginnings of limits: a power of two, more than are ever handed out

# One client network in one window. Both counts carry the generation of the window that they belong to, so
# that a slot is taken over from an earlier window in one step, and a late thread cannot spoil it.
cdef struct limiter_slot:
    uint64_t network  # 48 bits of its keyed hash; tag of the generation in the low 16; 0: never used
    uint64_t answers  # generation << 32 | limited << 31 | count
    uint64_t errors   # generation << 32 | count

# One second. The totals are never set back: those of both windows add up to those of the limiter.
cdef struct limiter_window:
    # What every response touches: one cache line.
    uint64_t second
    uint64_t responses  # of this second, attempts beyond the ceiling included
    uint64_t sent
    uint64_t slipped
    uint64_t dropped_by_network
    uint64_t dropped_by_ceiling
    limiter_slot* slots
    uint64_t counts     # of this second
    # What few do.
    uint64_t limited    # networks over a limit in this second
    uint64_t fresh      # those of them that were not in the second before
    uint64_t told       # whether one of them is in `begun`
    uint64_t follows    # whether the other window is the second before
    uint64_t unused[4]

# Limiting has begun: of a network, or (version 0) because of the ceiling.
cdef struct limiter_beginning:
    uint64_t ready  # 1 + its number, once it is written
    uint64_t kind   # version << 8 | error
    uint64_t high   # the network's address in host order; of IPv4 in `low` alone
    uint64_t low

cdef struct limiter_range:  # of exempt addresses, both ends included
    uint64_t first_high, first_low, last_high, last_low

cdef struct limiter_state:
    limiter_window windows[2]
    uint64_t generation  # of the window that counts now: windows[generation & 1]
    uint64_t rolling     # taken by the thread that begins a window
    uint64_t exempt
    uint64_t begun       # beginnings so far
    limiter_beginning beginnings[BEGUN]
    # From here on nothing changes.
    uint64_t slot_mask
    uint64_t ceiling
    uint64_t slip
    uint64_t limits[2]   # of answers, of errors
    uint64_t ipv4_mask
    uint64_t ipv6_mask_high, ipv6_mask_low
    SipKey hash_key
    limiter_range* exempt_ranges[2]  # of IPv4, of IPv6; sorted and apart
    size_t exempt_counts[2]

# What becomes of a response to `address` (4 or 16 bytes by `version`, 4 or 6): SEND, SLIP or DROP.
# second: of the clock, from any origin. Any thread may call it, with or without the GIL.
cdef int limiter_judge(
    limiter_state* state, uint8_t version, const uint8_t* address, bint error, int64_t second
) noexcept nogil

cdef class Limiter:
    cdef limiter_state* state
    cdef object _settings
    cdef uint64_t _read  # beginnings that were handed out
    cdef int _exempt(self, int family, list networks) except -1
    cdef limiter_beginning* _beginning(self, uint64_t number) noexcept
    cdef object _limited(self, const limiter_beginning* beginning)
