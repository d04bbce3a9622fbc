"""Which answer is this client's: the question's only one, or its group's for where the client is."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gslb.dns.compiled.atomic cimport load_double, load_half
from gslb.dns.compiled.network cimport UNMAPPED, Spans, carries_ipv4, high_of, span_of4, span_of6
from gslb.dns.compiled.serving cimport BookState
from gslb.dns.compiled.siphash cimport SipKey, siphash
from gslb.dns.compiled.stored cimport (
    LOCATED, NEVER, NO_SHARE, ORDERED, PART, SHARED, SHARES, Question, Ranks, Template, is_question,
    outcome_key, rank_of, ranks_key,
)
from gslb.dns.compiled.table cimport table_find

cdef enum:
    # Bytes of a client's network that a share follows from, and that the scope of one covers.
    IPV4_OCTETS = 3
    IPV6_OCTETS = 6
    RCODE = 0x000F

ctypedef struct Chosen:
    Question* question
    Template* template
    uint32_t scope
    bint stale  # the answer is about to expire, because the world has changed


cdef inline uint64_t hash_of(SipKey key, const uint8_t* text, size_t length) noexcept nogil:
    """Of a question, under the book's own key; never 0, which no table takes."""
    return siphash(key, text, length) | 1


cdef inline Question* find_question(BookState* book, const uint8_t* text, size_t length) noexcept nogil:
    """NULL: nothing was learned of it."""
    cdef uint64_t key = hash_of(book.key, text, length)
    cdef Question* question = <Question*>table_find(&book.questions, key)
    if question == NULL:
        question = <Question*>table_find(&book.passing, key)
    if question == NULL or not is_question(question, text, length):
        return NULL
    return question


cdef inline uint32_t share_of(const uint8_t* address, uint8_t version) noexcept nogil:
    """gslb.policy.share.share_of, for an address that carries no other."""
    cdef SipKey key
    # b"gslb/share/v1\0\0\0"
    key.first = 0x6168732F626C7367ULL
    key.second = 0x00000031762F6572ULL
    return <uint32_t>(siphash(key, address, IPV4_OCTETS if version == 4 else IPV6_OCTETS) & SHARES - 1)


cdef inline uint32_t vantage_of(
    BookState* book, uint64_t high, uint8_t version, uint32_t* prefix_length
) noexcept nogil:
    """Where the network map has the address with these first 64 bits; UNMAPPED without one."""
    cdef const Spans* spans
    cdef uint32_t at
    if not book.mapped:
        return UNMAPPED
    if version == 4:
        spans = &book.ipv4
        at = span_of4(spans, <uint32_t>(high >> 32))
    else:
        spans = &book.ipv6
        at = span_of6(spans, high)
    prefix_length[0] = spans.prefix_lengths[at]
    return spans.vantages[at]


cdef inline uint32_t _rank(BookState* book, uint32_t plan, uint32_t level, uint32_t vantage) noexcept nogil:
    """0: not known."""
    cdef Ranks* ranks = <Ranks*>table_find(&book.ranks, ranks_key(plan, level))
    cdef uint32_t* rank = NULL
    if ranks != NULL:
        rank = rank_of(ranks, vantage)
    return 0 if rank == NULL else load_half(rank)


cdef inline Template* _live_outcome(BookState* book, uint64_t key, double now, bint* stale) noexcept nogil:
    cdef Template* template = <Template*>table_find(&book.outcomes, key)
    cdef double expires
    if template == NULL:
        return NULL
    expires = load_double(&template.expires)
    if expires <= now:
        return NULL
    if expires < NEVER:
        stale[0] = True
    return template


cdef inline Template* _outcome_of_part(
    Chosen* chosen,
    BookState* book,
    const uint8_t* address,
    uint8_t version,
    uint64_t high,
    uint32_t rank,
    double now,
) noexcept nogil:
    """A group's answer for the part of the clients that one is in, where a region does not take everybody."""
    cdef Template* template
    cdef uint32_t length = 8 * (IPV4_OCTETS if version == 4 else IPV6_OCTETS)
    cdef uint32_t share
    if version == 6 and carries_ipv4(high):
        return NULL
    share = share_of(address, version)
    if length > chosen.scope:
        chosen.scope = length
    template = _live_outcome(
        book, outcome_key(chosen.question.group, 1, rank, share - share % PART), now, &chosen.stale
    )
    return NULL if template == NULL or template.deeper else template


cdef inline Template* _outcome(
    Chosen* chosen, BookState* book, const uint8_t* address, uint8_t version, double now
) noexcept nogil:
    """A group's answer for a client, and in `chosen` its scope; NULL: Python is to say."""
    cdef Question* question = chosen.question
    cdef Template* template
    cdef uint64_t high = high_of(address, version)
    cdef uint32_t share = NO_SHARE
    cdef uint32_t vantage
    cdef uint32_t prefix_length = 0
    cdef uint32_t rank = 0
    cdef uint32_t level
    if question.flags & SHARED:
        if version == 6 and carries_ipv4(high):
            return NULL
        share = share_of(address, version)
        chosen.scope = 8 * (IPV4_OCTETS if version == 4 else IPV6_OCTETS)
    if not question.flags & LOCATED:
        template = _live_outcome(book, outcome_key(question.group, 0, 0, share), now, &chosen.stale)
        if template == NULL or not template.deeper:
            return template
        return _outcome_of_part(chosen, book, address, version, high, 0, now)
    vantage = vantage_of(book, high, version, &prefix_length)
    if vantage == UNMAPPED:
        return NULL
    if prefix_length > chosen.scope:
        chosen.scope = prefix_length
    for level in range(1 if question.flags & ORDERED else 0, 2):
        rank = _rank(book, question.plan, level, vantage)
        if rank == 0:
            return NULL
        template = _live_outcome(book, outcome_key(question.group, level, rank, share), now, &chosen.stale)
        if template == NULL or not template.deeper:
            return template
    return _outcome_of_part(chosen, book, address, version, high, rank, now)


cdef inline bint choose(
    Chosen* chosen, BookState* book, const uint8_t* address, uint8_t version, double now
) noexcept nogil:
    """Complete `chosen`, whose question is set, for a client's address; false: Python is to answer."""
    chosen.scope = 0
    chosen.stale = False
    chosen.template = chosen.question.fixed
    if chosen.template == NULL:
        chosen.template = _outcome(chosen, book, address, version, now)
        # An error holds for everybody (gslb.dns.answer_cache).
        if chosen.template != NULL and chosen.template.flags & RCODE:
            chosen.scope = 0
    # From then on its TTL is too long.
    return chosen.template != NULL and now < chosen.template.shrinks_at
