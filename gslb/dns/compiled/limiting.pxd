"""What becomes of one response: the limits themselves, on memory that threads share without a lock."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from gslb.dns.compiled.atomic cimport (
    add_relaxed,
    load_acquire,
    load_relaxed,
    replace,
    store_relaxed,
    store_release,
)
from gslb.dns.compiled.limiter cimport (
    BEGUN,
    DROP,
    SEND,
    SLIP,
    limiter_beginning,
    limiter_range,
    limiter_slot,
    limiter_state,
    limiter_window,
)
from gslb.dns.compiled.siphash cimport siphash

cdef extern from "<endian.h>" nogil:
    uint64_t be64toh(uint64_t value)
    uint32_t be32toh(uint32_t value)

cdef enum:
    MOST_STEPS = 64  # slots looked at before a network shares that which is the first for it
    ANSWERS = 0
    ERRORS = 1
    LATEST = 5  # seconds that a thread may be held up after it has read the clock

cdef enum:
    # Parts of a slot's words.
    TAG = 0xFFFF
    COUNT = 0x7FFFFFFF
    LIMITED = 0x80000000

cdef struct Network:
    uint64_t high, low  # as in limiter_beginning
    uint64_t hash
    uint8_t version


cdef inline bint _is_mapped(const uint8_t* address) noexcept nogil:
    """Whether the 16 bytes are ::ffff:0:0/96, an IPv4 address (RFC 4291 2.5.5.2)."""
    cdef int at
    for at in range(10):
        if address[at]:
            return False
    return address[10] == 0xFF and address[11] == 0xFF


cdef inline bint _is_exempt(
    const limiter_state* state, int family, uint64_t high, uint64_t low
) noexcept nogil:
    """family: 0 for IPv4, 1 for IPv6. The range to ask is the last that begins at or before the address."""
    cdef limiter_range* ranges = state.exempt_ranges[family]
    cdef size_t least = 0, most = state.exempt_counts[family], middle
    cdef limiter_range* tried
    while least < most:
        middle = (least + most) >> 1
        tried = &ranges[middle]
        if tried.first_high < high or (tried.first_high == high and tried.first_low <= low):
            least = middle + 1
        else:
            most = middle
    if least == 0:
        return False
    tried = &ranges[least - 1]
    return high < tried.last_high or (high == tried.last_high and low <= tried.last_low)


cdef inline bint _read_network(
    const limiter_state* state, uint8_t version, const uint8_t* address, Network* network
) noexcept nogil:
    """Fill in the client network of `address`; False if it is exempt."""
    cdef uint64_t words[2]
    cdef uint32_t number
    if version == 6 and _is_mapped(address):
        version = 4
        address += 12
    network.version = version
    if version == 4:
        memcpy(&number, address, 4)
        words[0] = be32toh(number)
        if state.exempt_counts[0] and _is_exempt(state, 0, 0, words[0]):
            return False
        network.high = 0
        network.low = words[0] & state.ipv4_mask
        # The length of what is hashed keeps the families apart.
        network.hash = siphash(state.hash_key, <const uint8_t*>&network.low, 8)
        return True
    memcpy(words, address, 16)
    words[0] = be64toh(words[0])
    words[1] = be64toh(words[1])
    if state.exempt_counts[1] and _is_exempt(state, 1, words[0], words[1]):
        return False
    words[0] &= state.ipv6_mask_high
    words[1] &= state.ipv6_mask_low
    network.high = words[0]
    network.low = words[1]
    network.hash = siphash(state.hash_key, <const uint8_t*>words, 16)
    return True


cdef inline uint64_t _named(uint64_t hash, uint64_t generation) noexcept nogil:
    """What stands in a slot that this network has in this window. The tag is never 0, as unused slots are."""
    return (hash & ~<uint64_t>TAG) | (generation % 0xFFFF + 1)


cdef inline limiter_slot* _slot(
    const limiter_state* state, uint64_t generation, uint64_t hash
) noexcept nogil:
    """The network's slot in the window that counts, taken for it if it has none.

    Within a window slots are only ever taken, never given back. So the first one that an earlier window left
    ends the search, and two threads that take one for the same network want the same one.
    """
    cdef limiter_slot* slots = state.windows[generation & 1].slots
    cdef uint64_t wanted = _named(hash, generation)
    cdef uint64_t at = hash & state.slot_mask
    cdef uint64_t found
    for _ in range(MOST_STEPS):
        found = load_relaxed(&slots[at].network)
        if found == wanted:
            return &slots[at]
        if (found ^ wanted) & <uint64_t>TAG:
            if replace(&slots[at].network, &found, wanted) or found == wanted:
                return &slots[at]
        at = (at + 1) & state.slot_mask
    return &slots[hash & state.slot_mask]


cdef inline uint64_t _count(limiter_window* window, uint64_t* word, uint64_t generation) noexcept nogil:
    """One response more; how many there are with it in this window."""
    cdef uint64_t found = load_relaxed(word)
    cdef uint64_t ours = generation << 32
    while (found ^ ours) >> 32:
        if <int32_t>((found >> 32) - generation) > 0:
            return 1  # this thread was held up while others went on to a later window
        if replace(word, &found, ours | 1):
            add_relaxed(&window.counts, 1)
            return 1
    found = add_relaxed(word, 1) & <uint64_t>COUNT
    if found == 0:  # it was noted as limited before it had any of this kind
        add_relaxed(&window.counts, 1)
    return found + 1


cdef inline bint _first_limited(limiter_slot* slot, uint64_t generation) noexcept nogil:
    """Note that the network is limited in this window; whether that is new."""
    cdef uint64_t found = load_relaxed(&slot.answers)
    cdef uint64_t ours = generation << 32
    cdef uint64_t noted
    while True:
        noted = found | <uint64_t>LIMITED
        if (found ^ ours) >> 32:
            noted = ours | <uint64_t>LIMITED  # it has had errors only
        if noted == found:
            return False
        if replace(&slot.answers, &found, noted):
            return True


cdef inline bint _was_limited(const limiter_state* state, uint64_t generation, uint64_t hash) noexcept nogil:
    """Whether the network was limited in the second before."""
    cdef limiter_slot* slots = state.windows[(generation - 1) & 1].slots
    cdef uint64_t wanted = _named(hash, generation - 1)
    cdef uint64_t at = hash & state.slot_mask
    cdef uint64_t found
    if not load_relaxed(&state.windows[generation & 1].follows):
        return False
    for _ in range(MOST_STEPS):
        found = load_relaxed(&slots[at].network)
        if found == wanted:
            found = load_relaxed(&slots[at].answers)
            return (found ^ ((generation - 1) << 32)) >> 32 == 0 and (found & <uint64_t>LIMITED) != 0
        if (found ^ wanted) & <uint64_t>TAG:
            return False
        at = (at + 1) & state.slot_mask
    return False


cdef inline uint64_t _roll(limiter_state* state, uint64_t generation, uint64_t second) noexcept nogil:
    """Begin the window of `second` after that of `generation`; the generation to count in.

    One thread does; the others count in the old window until it has, and wait for nobody.
    """
    cdef limiter_window* before = &state.windows[generation & 1]
    cdef limiter_window* window = &state.windows[(generation + 1) & 1]
    cdef uint64_t free_to_roll = 0
    if not replace(&state.rolling, &free_to_roll, 1):
        return generation
    if load_relaxed(&state.generation) == generation:
        store_relaxed(&window.responses, 0)
        store_relaxed(&window.counts, 0)
        store_relaxed(&window.limited, 0)
        store_relaxed(&window.fresh, 0)
        store_relaxed(&window.told, 0)
        store_relaxed(&window.follows, second - load_relaxed(&before.second) == 1)
        store_relaxed(&window.second, second)
        store_release(&state.generation, generation + 1)
    generation = load_relaxed(&state.generation)
    store_release(&state.rolling, 0)
    return generation


cdef inline void _begin(limiter_state* state, const Network* network, bint error) noexcept nogil:
    """Remember for the log that limiting has begun; network: NULL for the ceiling.

    A window has two beginnings at most, so nobody comes round to a place that is still being written.
    """
    cdef uint64_t number = add_relaxed(&state.begun, 1)
    cdef limiter_beginning* beginning = &state.beginnings[number & (BEGUN - 1)]
    store_relaxed(&beginning.ready, 0)
    if network is NULL:
        store_release(&beginning.kind, 0)
    else:
        store_release(&beginning.kind, <uint64_t>network.version << 8 | error)
        store_release(&beginning.high, network.high)
        store_release(&beginning.low, network.low)
    store_release(&beginning.ready, number + 1)


cdef inline int _over_ceiling(limiter_state* state, uint64_t generation, uint64_t number) noexcept nogil:
    cdef limiter_window* window = &state.windows[generation & 1]
    cdef limiter_window* before = &state.windows[(generation - 1) & 1]
    if number == state.ceiling + 1:
        if not load_relaxed(&window.follows) or load_relaxed(&before.responses) < state.ceiling:
            _begin(state, NULL, False)
    add_relaxed(&window.dropped_by_ceiling, 1)
    return DROP


cdef inline int _over_limit(
    limiter_state* state,
    uint64_t generation,
    const Network* network,
    limiter_slot* slot,
    bint error,
    uint64_t over,
) noexcept nogil:
    cdef limiter_window* window = &state.windows[generation & 1]
    cdef uint64_t number, untold = 0
    if over == 1 and _first_limited(slot, generation):
        add_relaxed(&window.limited, 1)
        if not _was_limited(state, generation, network.hash):
            add_relaxed(&window.fresh, 1)
            if replace(&window.told, &untold, 1):
                _begin(state, network, error)
    if not state.slip or over % state.slip:
        add_relaxed(&window.dropped_by_network, 1)
        return DROP
    # A truncated answer is a response too, and what makes a ceiling is that nothing passes it.
    number = add_relaxed(&window.responses, 1) + 1
    if number > state.ceiling:
        return _over_ceiling(state, generation, number)
    add_relaxed(&window.slipped, 1)
    return SLIP


cdef inline int judge_response(
    limiter_state* state, uint8_t version, const uint8_t* address, bint error, int64_t second
) noexcept nogil:
    cdef uint64_t generation, ahead, number, limit
    cdef limiter_window* window
    cdef limiter_slot* slot
    cdef Network network
    # As in Python, an exempt response, too, tells that a second has begun.
    generation = load_acquire(&state.generation)
    ahead = load_relaxed(&state.windows[generation & 1].second) - <uint64_t>second
    # A thread that read the clock before the second ended must not bring that second back.
    if ahead > LATEST:
        generation = _roll(state, generation, <uint64_t>second)
    if not _read_network(state, version, address, &network):
        add_relaxed(&state.exempt, 1)
        return SEND
    window = &state.windows[generation & 1]
    # Once the ceiling is reached nobody is counted any more: it bounds the slots that are taken, too.
    if load_relaxed(&window.responses) >= state.ceiling:
        return _over_ceiling(state, generation, add_relaxed(&window.responses, 1) + 1)
    slot = _slot(state, generation, network.hash)
    number = _count(window, &slot.errors if error else &slot.answers, generation)
    limit = state.limits[ERRORS if error else ANSWERS]
    if number > limit:
        return _over_limit(state, generation, &network, slot, error, number - limit)
    number = add_relaxed(&window.responses, 1) + 1
    if number > state.ceiling:  # another thread was faster
        return _over_ceiling(state, generation, number)
    add_relaxed(&window.sent, 1)
    return SEND
