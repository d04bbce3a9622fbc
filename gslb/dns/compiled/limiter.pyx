# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Limits the responses to each client network, for threads that hold no lock and Python; see limiter.pyi."""

import os
from ipaddress import IPv4Address, IPv6Address, collapse_addresses, ip_address

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from gslb.dns.compiled.atomic cimport load_acquire, load_relaxed
from gslb.dns.compiled.limiting cimport ANSWERS, ERRORS, judge_response
from gslb.dns.compiled.siphash cimport sip_key

from gslb.dns.rate_limit import Limited, Outcome

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void** made, size_t alignment, size_t size)

MOST_SLOTS = 1 << 18
"""Slots for client networks in a window at the most; otherwise twice as many as the ceiling lets through."""

_OUTCOMES = (Outcome.SEND, Outcome.SLIP, Outcome.DROP)

cdef enum:
    CACHE_LINE = 64
    FEWEST_SLOTS = 64
    MOST_BEGUN = 10  # handed out by one call

cdef struct Rehearsed:
    uint8_t version
    uint8_t address[16]


cdef int limiter_judge(
    limiter_state* state, uint8_t version, const uint8_t* address, bint error, int64_t second
) noexcept nogil:
    return judge_response(state, version, address, error, second)


cdef class Limiter:
    def __cinit__(self, settings, *, most_slots=MOST_SLOTS):
        cdef void* made = NULL
        cdef int parity
        cdef uint64_t slots = 1
        if posix_memalign(&made, CACHE_LINE, sizeof(limiter_state)):
            raise MemoryError
        memset(made, 0, sizeof(limiter_state))
        self.state = <limiter_state*>made
        while slots < min(max(2 * settings.ceiling, FEWEST_SLOTS), most_slots):
            slots *= 2
        self.state.slot_mask = slots - 1
        for parity in range(2):
            # Zeroed by the kernel page by page, so that only what is used takes memory.
            self.state.windows[parity].slots = <limiter_slot*>calloc(slots, sizeof(limiter_slot))
            if self.state.windows[parity].slots is NULL:
                raise MemoryError

    def __init__(self, settings, *, most_slots=MOST_SLOTS):
        cdef limiter_state* state = self.state
        cdef bytes key = os.urandom(16)
        cdef int host_bits = 32 - settings.ipv4_prefix_length
        mask6 = (1 << 128) - (1 << 128 - settings.ipv6_prefix_length)
        state.ceiling = settings.ceiling
        state.slip = settings.slip
        state.limits[ANSWERS] = settings.responses_per_second
        state.limits[ERRORS] = settings.errors_per_second
        state.ipv4_mask = <uint64_t>0xFFFFFFFF >> host_bits << host_bits
        state.ipv6_mask_high = mask6 >> 64
        state.ipv6_mask_low = mask6 & 0xFFFFFFFFFFFFFFFF
        state.hash_key = sip_key(key)
        for family, version in enumerate((4, 6)):
            networks = collapse_addresses([each for each in settings.exempt if each.version == version])
            self._exempt(family, list(networks))
        self._settings = settings

    cdef int _exempt(self, int family, list networks) except -1:
        cdef limiter_range* ranges = <limiter_range*>calloc(len(networks) + 1, sizeof(limiter_range))
        cdef size_t at = 0
        if ranges is NULL:
            raise MemoryError
        self.state.exempt_ranges[family] = ranges
        for network in networks:
            first, last = int(network.network_address), int(network.broadcast_address)
            ranges[at].first_high, ranges[at].first_low = first >> 64, first & 0xFFFFFFFFFFFFFFFF
            ranges[at].last_high, ranges[at].last_low = last >> 64, last & 0xFFFFFFFFFFFFFFFF
            at += 1
        self.state.exempt_counts[family] = at
        return 0

    def __dealloc__(self):
        cdef int which
        if self.state is NULL:
            return
        for which in range(2):
            free(self.state.windows[which].slots)
            free(self.state.exempt_ranges[which])
        free(self.state)

    def judge(self, str source, bint error, double now):
        address = ip_address(source)
        cdef bytes packed = address.packed
        return _OUTCOMES[limiter_judge(self.state, address.version, packed, error, <int64_t>now)]

    def rehearse(self, sources, bint error, double now, int rounds):
        cdef Rehearsed* each = <Rehearsed*>calloc(max(1, len(sources)), sizeof(Rehearsed))
        cdef size_t how_many = len(sources), at
        cdef uint64_t outcomes[3]
        cdef bytes packed
        if each is NULL:
            raise MemoryError
        for at in range(how_many):
            address = ip_address(sources[at])
            packed = address.packed
            each[at].version = address.version
            memcpy(each[at].address, <const uint8_t*>packed, len(packed))
        memset(outcomes, 0, sizeof(outcomes))
        with nogil:
            for _ in range(rounds):
                for at in range(how_many):
                    outcomes[judge_response(
                        self.state, each[at].version, each[at].address, error, <int64_t>now
                    )] += 1
        free(each)
        return outcomes[SEND], outcomes[SLIP], outcomes[DROP]

    def newly_limited(self):
        cdef uint64_t begun = load_acquire(&self.state.begun)
        cdef uint64_t number = max(self._read, begun - min(begun, <uint64_t>MOST_BEGUN))
        cdef list told = []
        while number < begun and load_acquire(&self._beginning(number).ready) == number + 1:
            # What another thread is about to write is told the next time.
            told.append(self._limited(self._beginning(number)))
            number += 1
        self._read = number
        return tuple(told)

    def limited_networks(self, double now):
        cdef uint64_t generation = load_acquire(&self.state.generation)
        cdef limiter_window* window = &self.state.windows[generation & 1]
        cdef limiter_window* before = &self.state.windows[(generation - 1) & 1]
        cdef int64_t age = <int64_t>now - <int64_t>load_relaxed(&window.second)
        if age > 1:
            return 0
        if age == 1 or not load_relaxed(&window.follows):
            return load_relaxed(&window.limited)
        return load_relaxed(&window.fresh) + load_relaxed(&before.limited)

    @property
    def sent(self):
        return load_relaxed(&self.state.windows[0].sent) + load_relaxed(&self.state.windows[1].sent)

    @property
    def exempt(self):
        return load_relaxed(&self.state.exempt)

    @property
    def slipped(self):
        return load_relaxed(&self.state.windows[0].slipped) + load_relaxed(&self.state.windows[1].slipped)

    @property
    def dropped(self):
        cdef limiter_window* windows = self.state.windows
        return {
            "network": load_relaxed(&windows[0].dropped_by_network)
            + load_relaxed(&windows[1].dropped_by_network),
            "ceiling": load_relaxed(&windows[0].dropped_by_ceiling)
            + load_relaxed(&windows[1].dropped_by_ceiling),
        }

    @property
    def counts(self):
        return load_relaxed(&self.state.windows[load_acquire(&self.state.generation) & 1].counts)

    cdef limiter_beginning* _beginning(self, uint64_t number) noexcept:
        return &self.state.beginnings[number & (BEGUN - 1)]

    cdef object _limited(self, const limiter_beginning* beginning):
        cdef uint64_t kind = load_acquire(&beginning.kind)
        cdef bint error = kind & 1
        high, low = load_acquire(&beginning.high), load_acquire(&beginning.low)
        if not kind:
            return Limited(None, False, self._settings.ceiling)
        if kind >> 8 == 4:
            network = f"{IPv4Address(low)}/{self._settings.ipv4_prefix_length}"
        else:
            network = f"{IPv6Address(high << 64 | low)}/{self._settings.ipv6_prefix_length}"
        return Limited(network, error, self.state.limits[ERRORS if error else ANSWERS])
