# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""What was learned of answers, in tables that threads search while Python fills them; see book.pyi."""

import secrets

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from gslb.dns.compiled.atomic cimport load_double, load_relaxed, store_double, store_half
from gslb.dns.compiled.choosing cimport hash_of, vantage_of
from gslb.dns.compiled.network cimport Spans, high_of
from gslb.dns.compiled.reclaim cimport AT_ONCE, OFFLINE, Quiet, reclaim
from gslb.dns.compiled.serving cimport BookState
from gslb.dns.compiled.siphash cimport sip_key
from gslb.dns.compiled.stored cimport (
    LONGEST_QUESTION, NEVER, Cut, Question, Ranks, Template, cuts_of, error_of, rank_of, ranks_key, tail_of,
    text_of,
)
from gslb.dns.compiled.table cimport Slots, Table, slots_of, table_begin, table_find, table_learn

from gslb.dns.edns import extended_error_option

MOST_QUESTIONS = 131_072
MOST_PASSING = 20_000
MOST_RANKS = 1 << 25  # known or not: of each plan and level that is met, one for every vantage
MOST_OUTCOMES = 262_144

cdef enum:
    LONGEST_MESSAGE = 65535
    HEADS = 65537
    LINE = 8  # counters in a cache line


cdef class Epochs:
    """What threads read, and what is freed once they have; shared by an exchange and its books."""

    def __cinit__(self, uint32_t threads):
        self.readers.quiet = <Quiet*>calloc(threads, sizeof(Quiet))
        if self.readers.quiet == NULL:
            raise MemoryError
        self.readers.threads = threads
        for at in range(threads):
            self.readers.quiet[at].epoch = OFFLINE

    def __dealloc__(self):
        # Whoever could read has a reference to an exchange, and that one to this.
        for thread in range(<int>self.readers.threads):
            self.readers.quiet[thread].epoch = OFFLINE
        reclaim(&self.readers, OFFLINE)
        free(self.readers.quiet)


cdef size_t _size(packed, bytes error) except 0:
    """Bytes of the template of a gslb.dns.packing.Packed."""
    if len(packed.tail) > LONGEST_MESSAGE or not 0 < len(packed.cuts) <= LONGEST_MESSAGE:
        raise ValueError("this is no answer in wire form")
    return sizeof(Template) + len(packed.cuts) * sizeof(Cut) + len(error) + <size_t>len(packed.tail)


cdef int _fill(Template* template, packed, bytes error, int32_t served) except -1:
    """Write the template of `packed` to the `_size` bytes, set to zero, at `template`."""
    cdef bytes tail = packed.tail
    cdef Cut* cut
    template.expires = NEVER
    template.shrinks_at = NEVER if packed.shrinks_at is None else packed.shrinks_at
    template.served = served
    template.flags = packed.flags
    template.tail_length = <uint32_t>len(tail)
    template.error_length = <uint16_t>len(error)
    template.cuts = <uint16_t>len(packed.cuts)
    cut = cuts_of(template)
    for each in packed.cuts:
        cut.length = each.length
        if cut.length > template.tail_length:
            raise ValueError("an answer cannot be cut beyond its end")
        cut.answers, cut.authorities, cut.additionals = each.answers, each.authorities, each.additionals
        cut.truncated = bool(each.truncated)
        cut += 1
    memcpy(error_of(template), <const uint8_t*>error, len(error))
    memcpy(tail_of(template), <const uint8_t*>tail, len(tail))
    return 0


cdef bytes _error_option(packed):
    return b"" if packed.extended_error is None else extended_error_option(packed.extended_error)


cdef Template* _template(packed, int32_t served) except NULL:
    """On the heap; `packed` None: not an answer, but a deeper one is to be taken."""
    cdef bytes error = b"" if packed is None else _error_option(packed)
    cdef size_t size = sizeof(Template) if packed is None else _size(packed, error)
    cdef Template* template = <Template*>calloc(1, size)
    if template == NULL:
        raise MemoryError
    if packed is None:
        template.deeper = True
        template.expires = template.shrinks_at = NEVER
        return template
    try:
        _fill(template, packed, error, served)
    except BaseException:
        free(template)
        raise
    return template


cdef Question* _question(bytes text, packed) except NULL:
    """On the heap, without a group; `packed` None: without an answer of its own."""
    cdef bytes error = b"" if packed is None else _error_option(packed)
    cdef size_t size = (sizeof(Question) + <size_t>len(text) + 7) & ~<size_t>7
    cdef Question* question
    if not 3 <= len(text) <= LONGEST_QUESTION:
        raise ValueError("a question is a name in wire form and the two bytes of a type")
    question = <Question*>calloc(1, size if packed is None else size + _size(packed, error))
    if question == NULL:
        raise MemoryError
    question.served = -1
    question.length = <uint16_t>len(text)
    memcpy(text_of(question), <const uint8_t*>text, len(text))
    if packed is not None:
        question.fixed = <Template*>(<uint8_t*>question + size)
        try:
            _fill(question.fixed, packed, error, -1)
        except BaseException:
            free(question)
            raise
    return question


cdef bint _is_expired(uint64_t template) noexcept nogil:
    return load_double(&(<Template*>template).expires) <= 0


cdef void _free_table(Table* table, bint owns) noexcept:
    cdef Slots* slots = table.slots
    cdef uint64_t at
    if slots == NULL:
        return
    if owns:
        for at in range(slots.mask + 1):
            free(<void*>slots_of(slots)[at].value)
    free(slots)


cdef class Book:
    """What was learned under one configuration and one network map; see answering.pyi."""

    def __cinit__(
        self,
        exchange,
        network_map,
        uint32_t served,
        *,
        uint64_t most_questions=MOST_QUESTIONS,
        uint64_t most_passing=MOST_PASSING,
        uint64_t most_ranks=MOST_RANKS,
        uint64_t most_outcomes=MOST_OUTCOMES,
    ):
        cdef BookState* state = &self.state
        self.epochs = <Epochs?>exchange.epochs
        state.key = sip_key(<bytes>secrets.token_bytes(16))
        state.served_count = served
        # A line of its own between two threads, for `calloc` need not begin with one.
        state.served_stride = (served // LINE + 2) * LINE
        state.served = <uint64_t*>calloc(self.epochs.readers.threads * state.served_stride, sizeof(uint64_t))
        if state.served == NULL:
            raise MemoryError
        if not (
            table_begin(&state.questions, max(<uint64_t>1, most_questions))
            and table_begin(&state.passing, max(<uint64_t>1, most_passing))
            and table_begin(&state.ranks, most_ranks)
            and table_begin(&state.outcomes, max(<uint64_t>1, most_outcomes))
        ):
            raise MemoryError
        state.outcomes.is_dead = _is_expired
        if network_map is not None:
            self._hold(&state.ipv4, network_map.ipv4, 4)
            self._hold(&state.ipv6, network_map.ipv6, 8)
            state.mapped = True
            state.vantages = len(network_map.vantages)
            # A row of ranks has all vantages.
            state.ranks.most = max(<uint64_t>1, most_ranks // state.vantages)

    def __dealloc__(self):
        _free_table(&self.state.questions, True)
        _free_table(&self.state.passing, True)
        _free_table(&self.state.ranks, True)
        _free_table(&self.state.outcomes, True)
        free(self.state.served)
        for at in range(self._held):
            PyBuffer_Release(&self._columns[at])

    cdef int _hold(self, Spans* spans, columns, Py_ssize_t start_size) except -1:
        """Take up one family's columns. Searches rely on what is checked here, and check nothing."""
        cdef Py_ssize_t total = len(columns)
        cdef uint32_t at
        if start_size == 4:
            spans.starts4 = <const uint32_t*>self._column(columns.starts, 4, total)
        else:
            spans.starts6 = <const uint64_t*>self._column(columns.starts, 8, total)
        spans.vantages = <const uint32_t*>self._column(columns.vantages, 4, total)
        spans.prefix_lengths = <const uint8_t*>self._column(columns.prefix_lengths, 1, total)
        spans.heads = <const uint32_t*>self._column(columns.heads, 4, HEADS)
        if spans.heads[0] == 0 or spans.heads[HEADS - 1] > total:
            raise ValueError("the network map begins or ends beyond its spans")
        for at in range(1, <uint32_t>HEADS):
            if spans.heads[at] < spans.heads[at - 1]:
                raise ValueError("the network map is not in order")
        return 0

    cdef const void* _column(self, column, Py_ssize_t item, Py_ssize_t count) except NULL:
        cdef Py_buffer* held = &self._columns[self._held]
        PyObject_GetBuffer(column, held, PyBUF_SIMPLE)
        self._held += 1
        if held.len != item * count:
            raise ValueError("a column of the network map has another length than the others")
        return held.buf

    cdef int _learn(self, void* table, uint64_t key, void* block) except -1:
        """Take over `block`; from here to the end nothing lets another Python thread in."""
        cdef bint learned = table_learn(<Table*>table, &self.epochs.readers, key, <uint64_t>block, True)
        if not learned:
            free(block)
            raise MemoryError
        reclaim(&self.epochs.readers, AT_ONCE)
        return 0

    def learn_answer(self, bytes question, packed, *, bint passing=False):
        cdef Question* made = _question(question, packed)
        cdef Table* table = &self.state.passing if passing else &self.state.questions
        self._learn(table, hash_of(self.state.key, text_of(made), made.length), made)

    def learn_question(
        self,
        bytes question,
        uint32_t group,
        uint32_t plan,
        uint16_t flags,
        int32_t served,
        *,
        bint passing=False,
    ):
        cdef Question* made
        cdef Table* table = &self.state.passing if passing else &self.state.questions
        if not 0 < group < 1 << 26 or not plan < 1 << 31 or flags > 7 or (flags & 1 and plan == 0):
            raise ValueError("a group, a plan or a flag is out of range")
        made = _question(question, None)
        made.group, made.plan, made.flags, made.served = group, plan, flags, served
        self._learn(table, hash_of(self.state.key, text_of(made), made.length), made)

    def learn_rank(self, uint32_t plan, uint32_t level, uint32_t vantage, uint32_t rank):
        if not 0 < plan < 1 << 31 or level > 1 or not 0 < rank < 1 << 24:
            raise ValueError("a plan, a level or a rank is out of range")
        cdef uint64_t key = ranks_key(plan, level)
        cdef Ranks* ranks
        if vantage >= self.state.vantages:
            return
        ranks = <Ranks*>table_find(&self.state.ranks, key)
        if ranks == NULL:
            ranks = <Ranks*>calloc(1, sizeof(Ranks) + self.state.vantages * sizeof(uint32_t))
            if ranks == NULL:
                raise MemoryError
            ranks.vantages = self.state.vantages
            self._learn(&self.state.ranks, key, ranks)
        store_half(rank_of(ranks, vantage), rank)

    def learn_outcome(self, uint64_t key, packed, int32_t served=-1):
        if key == 0:
            raise ValueError("no outcome has the key 0")
        self._learn(&self.state.outcomes, key, _template(packed, served))

    def expire(self, keys, double at):
        cdef uint64_t key
        cdef Template* template
        for key in keys:
            template = <Template*>table_find(&self.state.outcomes, key) if key else NULL
            if template != NULL and at < load_double(&template.expires):
                store_double(&template.expires, at)

    def vantage(self, address):
        cdef bytes packed = address.packed
        cdef uint8_t version = address.version
        cdef uint32_t prefix_length = 0
        return vantage_of(&self.state, high_of(packed, version), version, &prefix_length)

    def served(self):
        cdef uint64_t thread
        cdef uint64_t at
        totals = [0] * <Py_ssize_t>self.state.served_count
        for thread in range(self.epochs.readers.threads):
            for at in range(self.state.served_count):
                totals[at] += load_relaxed(&self.state.served[thread * self.state.served_stride + at])
        return totals

    @property
    def questions(self):
        return self.state.questions.count

    @property
    def passing(self):
        return self.state.passing.count

    @property
    def ranks(self):
        return self.state.ranks.count * self.state.vantages

    @property
    def outcomes(self):
        return self.state.outcomes.count

    @property
    def overflows(self):
        cdef BookState* state = &self.state
        return sum(
            (
                state.questions.overflows,
                state.passing.overflows,
                state.ranks.overflows,
                state.outcomes.overflows,
            )
        )
