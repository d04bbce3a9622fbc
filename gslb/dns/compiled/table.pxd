"""A table from numbers to numbers that one thread fills while any others search it; none of them waits."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc

from gslb.dns.compiled.atomic cimport load_acquire, load_pointer, prefetch, store_pointer, store_release
from gslb.dns.compiled.reclaim cimport Readers, Retired, retire

cdef enum:
    FEWEST_SLOTS = 64

ctypedef struct Slot:
    uint64_t key  # 0: free; written once, after its first value
    uint64_t value

ctypedef struct Slots:
    Retired retired
    uint64_t mask
    uint64_t shift
    # The slots follow.

ctypedef bint (*IsDead)(uint64_t value) noexcept nogil

ctypedef struct Table:
    IsDead is_dead  # what need not be kept when there is no room for more; NULL: nothing need
    Slots* slots  # never more than half of them taken, so that every search ends soon
    uint64_t count
    uint64_t most
    uint64_t overflows


cdef inline Slot* slots_of(Slots* slots) noexcept nogil:
    return <Slot*>(slots + 1)


cdef inline uint64_t first_slot(const Slots* slots, uint64_t key) noexcept nogil:
    """Keys are numbers put together from numbers; both multiplications are needed to spread them."""
    key = (key ^ key >> 32) * 0x9E3779B97F4A7C15ULL
    key = (key ^ key >> 29) * 0xBF58476D1CE4E5B9ULL
    return key >> slots.shift


cdef inline void table_expect(Table* table, uint64_t key) noexcept nogil:
    """The key is going to be searched: its place in memory may be fetched already."""
    cdef Slots* slots = <Slots*>load_pointer(&table.slots)
    prefetch(&slots_of(slots)[first_slot(slots, key)])


cdef inline uint64_t table_find(Table* table, uint64_t key) noexcept nogil:
    """The value of a key other than 0; 0 for none."""
    cdef Slots* slots = <Slots*>load_pointer(&table.slots)
    cdef Slot* slot = slots_of(slots)
    cdef uint64_t at = first_slot(slots, key)
    cdef uint64_t found
    while True:
        found = load_acquire(&slot[at].key)
        if found == key:
            return load_acquire(&slot[at].value)
        if found == 0:
            return 0
        at = at + 1 & slots.mask


cdef inline Slots* new_slots(uint64_t size) noexcept nogil:
    """Free ones, a power of two; NULL when there is no memory."""
    cdef Slots* slots = <Slots*>calloc(1, sizeof(Slots) + size * sizeof(Slot))
    if slots == NULL:
        return NULL
    slots.mask = size - 1
    slots.shift = 64
    while size > 1:
        size >>= 1
        slots.shift -= 1
    return slots


cdef inline bint table_begin(Table* table, uint64_t most) noexcept nogil:
    """Make an empty table, not seen by any reader yet; false when there is no memory."""
    table.most = most
    table.slots = new_slots(FEWEST_SLOTS)
    return table.slots != NULL


cdef inline void _put(Slots* slots, uint64_t key, uint64_t value) noexcept nogil:
    """Add a key that is not there."""
    cdef Slot* slot = slots_of(slots)
    cdef uint64_t at = first_slot(slots, key)
    while slot[at].key != 0:
        at = at + 1 & slots.mask
    store_release(&slot[at].value, value)
    store_release(&slot[at].key, key)


cdef inline bint _grow(Table* table, Readers* readers) noexcept nogil:
    cdef Slots* before = table.slots
    cdef Slots* after = new_slots(2 * (before.mask + 1))
    cdef Slot* slot = slots_of(before)
    cdef uint64_t at
    if after == NULL:
        return False
    for at in range(before.mask + 1):
        if slot[at].key != 0:
            _put(after, slot[at].key, slot[at].value)
    store_pointer(&table.slots, after)
    retire(readers, before)
    return True


cdef inline bint _goes(const Table* table, uint64_t value, bint everything) noexcept nogil:
    return everything or table.is_dead(value)


cdef inline bint _forget(Table* table, Readers* readers, bint owns) noexcept nogil:
    """A table without what is dead instead of a full one, or an empty one if that would not help; with `owns`
    the values are blocks, which go as well."""
    cdef Slots* before = table.slots
    cdef Slots* after
    cdef Slot* slot = slots_of(before)
    cdef uint64_t at, alive = 0
    cdef bint everything = table.is_dead == NULL
    if not everything:
        for at in range(before.mask + 1):
            alive += slot[at].key != 0 and not table.is_dead(slot[at].value)
        everything = 2 * alive > table.most
    after = new_slots(FEWEST_SLOTS if everything else before.mask + 1)
    if after == NULL:
        return False
    table.count = 0
    for at in range(before.mask + 1):
        if slot[at].key != 0 and not _goes(table, slot[at].value, everything):
            _put(after, slot[at].key, slot[at].value)
            table.count += 1
    store_pointer(&table.slots, after)
    table.overflows += 1
    if owns:
        for at in range(before.mask + 1):
            if slot[at].key != 0 and _goes(table, slot[at].value, everything):
                retire(readers, <void*>slot[at].value)
    retire(readers, before)
    return True


cdef inline bint table_learn(
    Table* table, Readers* readers, uint64_t key, uint64_t value, bint owns
) noexcept nogil:
    """Give a key other than 0 this value; for writers, under the GIL. False when there is no memory: nothing
    was changed then. With `owns` values are blocks that begin with a Retired, and this one's is the table's
    from now on: who had the key before is retired."""
    cdef Slot* slot = slots_of(table.slots)
    cdef uint64_t at = first_slot(table.slots, key)
    cdef uint64_t before
    while slot[at].key != 0:
        if slot[at].key == key:
            before = slot[at].value
            store_release(&slot[at].value, value)
            if owns:
                retire(readers, <void*>before)
            return True
        at = at + 1 & table.slots.mask
    if table.count >= table.most:
        if not _forget(table, readers, owns):
            return False
    elif 2 * (table.count + 1) > table.slots.mask + 1 and not _grow(table, readers):
        return False
    _put(table.slots, key, value)
    table.count += 1
    return True
