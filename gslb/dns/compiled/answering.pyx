# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Repeats, without Python and from many threads at once, answers that Python has made; see answering.pyi."""

from ipaddress import ip_address

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from gslb.dns.compiled.atomic cimport count, load_pointer, load_relaxed, store_pointer
from gslb.dns.compiled.book cimport Book as BookType, Epochs
from gslb.dns.compiled.limiter cimport Limiter
from gslb.dns.compiled.network cimport Prefix, high_of, low_of
from gslb.dns.compiled.reclaim cimport OFFLINE, enter, leave, oldest_reader, reclaim, retire
from gslb.dns.compiled.repeating cimport repeat_answer
from gslb.dns.compiled.serving cimport EVERYBODY, LISTED, NOBODY, UNDECIDED
from gslb.dns.compiled.siphash cimport SipKey, sip_key

from gslb.dns.compiled.book import Book

LOCATED, SHARED, ORDERED = 1, 2, 4

MOST_PREFIXES = 256

cdef extern from "<stdlib.h>" nogil:
    void* aligned_alloc(size_t alignment, size_t size)

cdef enum:
    SECRET_LENGTH = 16
    SHORTEST_PAYLOAD = 512
    LONGEST_MESSAGE = 65535
    ROOM = 4096  # bytes for an answer in a rehearsal
    TOGETHER = 64  # packets answered between two looks at what serves


cdef Serving* exchange_enter(ExchangeState* exchange, int thread) noexcept nogil:
    enter(exchange.readers, thread)
    return <Serving*>load_pointer(&exchange.serving)


cdef void exchange_leave(ExchangeState* exchange, int thread) noexcept nogil:
    leave(exchange.readers, thread)


cdef int answer_packet(
    Serving* serving,
    Counters* counters,
    const uint8_t* packet,
    size_t length,
    const Source* source,
    double now,
    uint8_t* out,
    size_t room,
) noexcept nogil:
    cdef int written = MISS
    if serving != NULL:
        written = repeat_answer(serving, counters, packet, length, source, now, out, room)
    if written == MISS:
        count(&counters.misses)
    return written


cdef class Settings:
    """How queries are treated under one configuration; see answering.pyi."""

    def __cinit__(self, int udp_payload, trust, cookie_secrets, Limiter limiter, bint counts_subnet):
        if not SHORTEST_PAYLOAD <= udp_payload <= LONGEST_MESSAGE:
            raise ValueError(f"udp_payload is {SHORTEST_PAYLOAD} to {LONGEST_MESSAGE} bytes")
        self.state.udp_payload = udp_payload
        self.state.trust = EVERYBODY
        if not counts_subnet:
            self.state.trust = NOBODY
        elif trust is not None:
            self._trust(trust)
        if cookie_secrets:
            self._keep_secrets(cookie_secrets)
        self._limiter = limiter
        if limiter is not None:
            self.state.limiter = limiter.state

    def __dealloc__(self):
        free(self.state.prefix)
        free(self.state.secret)

    cdef int _trust(self, networks) except -1:
        if len(networks) > MOST_PREFIXES:
            self.state.trust = UNDECIDED
            return 0
        self.state.trust = LISTED
        self.state.prefix = <Prefix*>calloc(max(1, len(networks)), sizeof(Prefix))
        if self.state.prefix == NULL:
            raise MemoryError
        for network in networks:
            self._add(network.version, network.network_address.packed, network.netmask.packed)
        return 0

    cdef void _add(self, uint8_t version, const uint8_t* address, const uint8_t* mask) noexcept:
        cdef Prefix* prefix = &self.state.prefix[self.state.prefixes]
        prefix.version = version
        prefix.high = high_of(address, version)
        prefix.low = low_of(address, version)
        prefix.high_mask = high_of(mask, version)
        prefix.low_mask = low_of(mask, version)
        self.state.prefixes += 1

    cdef int _keep_secrets(self, list_of_secrets) except -1:
        self.state.secret = <SipKey*>calloc(len(list_of_secrets), sizeof(SipKey))
        if self.state.secret == NULL:
            raise MemoryError
        for secret in list_of_secrets:
            if len(secret) != SECRET_LENGTH:
                raise ValueError(f"a cookie secret has {SECRET_LENGTH} bytes")
            self.state.secret[self.state.secrets] = sip_key(<const uint8_t*>secret)
            self.state.secrets += 1
        return 0


cdef Source _source_of(str source, uint16_t port) except *:
    """From an address as a socket gives it."""
    cdef Source made
    address = ip_address(source.partition("%")[0])
    cdef bytes packed = address.packed
    memset(&made, 0, sizeof(Source))
    made.version = address.version
    memcpy(made.address, <const uint8_t*>packed, len(packed))
    made.port = port
    return made


cdef class Exchange:
    """Between Python, which learns, and the threads that answer; see answering.pyi."""

    def __cinit__(self, int threads):
        if threads < 0:
            raise ValueError("there cannot be less than no threads")
        self.threads = threads
        # One more than the loops have, for `answer`.
        self.epochs = Epochs(threads + 1)
        self._retired = []
        self.state = <ExchangeState*>calloc(1, sizeof(ExchangeState))
        if self.state == NULL:
            raise MemoryError
        self.state.readers = &self.epochs.readers
        self.state.counters = <Counters*>aligned_alloc(64, (threads + 1) * sizeof(Counters))
        if self.state.counters == NULL:
            raise MemoryError
        memset(self.state.counters, 0, (threads + 1) * sizeof(Counters))
        for thread in range(threads + 1):
            self.state.counters[thread].thread = thread

    def __dealloc__(self):
        # No thread is left: each has a reference to this.
        if self.state != NULL:
            free(self.state.serving)
            free(self.state.counters)
            free(self.state)

    def use(self, BookType book not None, Settings settings not None):
        cdef Serving* serving
        cdef Serving* before = self.state.serving
        if book.epochs is not self.epochs:
            raise ValueError("the book belongs to another exchange")
        serving = <Serving*>calloc(1, sizeof(Serving))
        if serving == NULL:
            raise MemoryError
        serving.book = &book.state
        serving.settings = &settings.state
        # Made before anything is swapped: what allocates may run the collector, and so anybody's code.
        replaced = [OFFLINE, self._book, self._settings]
        self._retired.append(replaced)
        store_pointer(&self.state.serving, serving)
        retire(&self.epochs.readers, before)
        replaced[0] = self.epochs.readers.epoch
        self._book, self._settings = book, settings
        self.reclaim()

    def reclaim(self):
        reclaim(&self.epochs.readers, OFFLINE)
        while self._retired and _is_past(self._retired[0][0], oldest_reader(&self.epochs.readers)):
            self._retired.pop(0)

    @property
    def retired(self):
        return self.epochs.readers.waiting + <uint64_t>len(self._retired)

    def answer(self, bytes packet, str source, uint16_t port, double now):
        outcome = self.outcome(packet, source, port, now)
        return outcome if isinstance(outcome, bytes) else None

    def outcome(self, bytes packet, str source, uint16_t port, double now):
        return self.rehearse([packet], source, port, now)[0]

    def rehearse(self, packets, str source, uint16_t port, double now, *, thread=None, int rounds=1):
        cdef Source asker = _source_of(source, port)
        cdef int slot = self.threads if thread is None else thread
        if rounds < 1 or not 0 <= slot <= self.threads or (rounds > 1 and slot == self.threads):
            raise ValueError("there is no such thread, or nothing to do")
        return _Rehearsal(packets).run(self, slot, &asker, now, rounds)

    def counters(self):
        cdef Counters* counters
        answered = silences = ignored = misses = overloads = truncations = stale = 0
        rcodes = [0] * 16
        cookies = [0] * 3
        for thread in range(self.threads + 1):
            counters = &self.state.counters[thread]
            answered += load_relaxed(&counters.answered)
            ignored += load_relaxed(&counters.ignored)
            silences += load_relaxed(&counters.silences)
            misses += load_relaxed(&counters.misses)
            overloads += load_relaxed(&counters.overloads)
            truncations += load_relaxed(&counters.truncations)
            stale += load_relaxed(&counters.stale)
            for at in range(16):
                rcodes[at] += load_relaxed(&counters.rcodes[at])
            for at in range(3):
                cookies[at] += load_relaxed(&counters.cookies[at])
        return {
            "answered": answered,
            "silences": silences,
            "ignored": ignored,
            "misses": misses,
            "overloads": overloads,
            "truncations": truncations,
            "stale": stale,
            "rcodes": {rcode: total for rcode, total in enumerate(rcodes) if total},
            "cookies": dict(zip(("good", "bad", "new"), cookies)),
        }


cdef inline bint _is_past(uint64_t epoch, uint64_t oldest) noexcept:
    return epoch != OFFLINE and epoch <= oldest


cdef class _Rehearsal:
    """Packets answered without their having come, and without the GIL: for tests and for measuring."""

    cdef bytes _data
    cdef size_t _total
    cdef size_t* _ends
    cdef uint8_t* _answers  # of one batch: as in the loop, they are gone with the next
    cdef int _written[TOGETHER]

    def __cinit__(self, packets):
        self._data = b"".join(packets)
        self._total = len(packets)
        self._ends = <size_t*>calloc(self._total + 1, sizeof(size_t))
        self._answers = <uint8_t*>malloc(TOGETHER * ROOM)
        if self._ends == NULL or self._answers == NULL:
            raise MemoryError
        for at, packet in enumerate(packets):
            self._ends[at + 1] = self._ends[at] + <size_t>len(packet)

    def __dealloc__(self):
        free(self._ends)
        free(self._answers)

    cdef list run(self, Exchange exchange, int thread, const Source* source, double now, int rounds):
        """Only the last round's answers are looked at."""
        cdef const uint8_t* data = self._data
        cdef ExchangeState* state = exchange.state
        cdef size_t batches = (self._total + TOGETHER - 1) // TOGETHER
        cdef size_t batch
        cdef size_t at
        cdef list outcomes = []
        with nogil:
            for _ in range(rounds - 1):
                for batch in range(batches):
                    self._batch(state, thread, data, batch * TOGETHER, source, now)
        for batch in range(batches):
            # With the GIL, which is what keeps two callers of `answer` apart.
            self._batch(state, thread, data, batch * TOGETHER, source, now)
            for at in range(min(<size_t>TOGETHER, self._total - batch * TOGETHER)):
                outcomes.append(self._outcome(at))
        return outcomes

    cdef void _batch(
        self,
        ExchangeState* state,
        int thread,
        const uint8_t* data,
        size_t first,
        const Source* source,
        double now,
    ) noexcept nogil:
        cdef Serving* serving = exchange_enter(state, thread)
        cdef size_t at
        for at in range(min(<size_t>TOGETHER, self._total - first)):
            self._written[at] = answer_packet(
                serving,
                &state.counters[thread],
                data + self._ends[first + at],
                self._ends[first + at + 1] - self._ends[first + at],
                source,
                now,
                self._answers + at * ROOM,
                ROOM,
            )
        exchange_leave(state, thread)

    cdef object _outcome(self, size_t at):
        cdef int written = self._written[at]
        if written <= 0:
            return "miss" if written == MISS else "silence"
        return (self._answers + at * ROOM)[:written]
