"""What a thread answers from, and where it counts: plain structures that no Python object is needed for."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gslb.dns.compiled.limiter cimport limiter_state
from gslb.dns.compiled.network cimport Prefix, Spans
from gslb.dns.compiled.reclaim cimport Retired
from gslb.dns.compiled.siphash cimport SipKey
from gslb.dns.compiled.table cimport Table

cdef enum:
    # Whose client subnet counts. UNDECIDED: the list is too long to be gone through here.
    NOBODY = 0
    EVERYBODY = 1
    LISTED = 2
    UNDECIDED = 3

cdef enum:
    # Indices of `Counters.cookies`; NO_COOKIE: none was sent, or cookies are off.
    NO_COOKIE = -1
    GOOD = 0
    BAD = 1
    NEW = 2

ctypedef struct Source:
    uint8_t version  # 4 or 6
    uint8_t address[16]  # network order; of IPv4 the first four bytes
    uint16_t port  # host order

ctypedef struct Counters:
    # Written by one thread alone (`atomic.count`), read by any.
    uint64_t answered
    uint64_t silences  # what the limiter had dropped
    uint64_t ignored  # what nobody answers: no queries, or not from where queries come from
    uint64_t misses
    uint64_t overloads  # counted by the loop: misses that there was no room to hand on
    uint64_t truncations
    uint64_t stale  # answered from an outcome that is about to expire
    uint64_t rcodes[16]
    uint64_t cookies[3]
    uint64_t thread  # whose they are; does not count
    uint64_t padding[5]  # so that no other thread writes to the same cache line

ctypedef struct BookState:
    SipKey key  # of the questions' hashes; random, so that nobody can make them collide
    Table questions
    Table passing
    Table ranks  # rows of them
    Table outcomes
    bint mapped
    uint64_t vantages  # of the map, UNMAPPED included
    Spans ipv4
    Spans ipv6
    uint64_t* served  # `served_stride` counters for each thread
    uint64_t served_count
    uint64_t served_stride

ctypedef struct SettingsState:
    uint32_t udp_payload
    uint32_t trust
    uint32_t prefixes
    uint32_t secrets  # 0: cookies are off
    Prefix* prefix
    SipKey* secret  # the first one signs
    limiter_state* limiter  # NULL: nobody is limited

ctypedef struct Serving:
    Retired retired
    BookState* book
    SettingsState* settings
