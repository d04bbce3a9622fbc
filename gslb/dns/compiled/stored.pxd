"""What was learned: answers in wire form, and the questions that they answer."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from gslb.dns.compiled.reclaim cimport Retired

cdef enum:
    # What an answer depends on of the client.
    LOCATED = 1
    SHARED = 2
    ORDERED = 4
    NO_SHARE = 4096
    SHARES = 4096
    PART = 32  # shares; of gslb.policy.intake
    LONGEST_QUESTION = 257  # a name, and the two bytes of its type
    QUESTION_ROOM = 264  # the same in whole words

cdef extern from * nogil:
    """
    #include <math.h>
    """
    const double NEVER "((double)INFINITY)"

ctypedef struct Cut:
    # gslb.dns.packing.Cut
    uint32_t length
    uint16_t answers
    uint16_t authorities
    uint16_t additionals
    uint16_t truncated

ctypedef struct Template:
    # gslb.dns.packing.Packed in one block. Nothing but `expires` is written once readers can find it.
    Retired retired
    double expires  # seconds since 1970, atomic; NEVER
    double shrinks_at  # seconds since 1970; NEVER
    int32_t served  # which of the group's counters; -1: none
    uint32_t tail_length
    uint16_t flags
    uint16_t error_length  # of the whole option; 0: none
    uint16_t cuts  # at least one
    uint16_t deeper  # not an answer: one of level 1, or of a part of the clients, is to be taken
    # The cuts follow, the option of the extended error, and the tail.

ctypedef struct Question:
    # Never written once readers can find it.
    Retired retired
    Template* fixed  # in the same block; NULL: the answer depends on the group and the client
    uint32_t group
    uint32_t plan
    int32_t served  # the group's first counter; -1: none
    uint16_t flags
    uint16_t length
    # `length` bytes follow: the name in lower case and its type; then, at `fixed`, the template.

ctypedef struct Ranks:
    # What one plan makes of every vantage, at one level; a whole row, for in the end most are known.
    Retired retired
    uint64_t vantages
    # So many numbers of 32 bits follow, atomic; 0: not known.


cdef inline Cut* cuts_of(Template* template) noexcept nogil:
    return <Cut*>(template + 1)


cdef inline uint8_t* error_of(Template* template) noexcept nogil:
    return <uint8_t*>(cuts_of(template) + template.cuts)


cdef inline uint8_t* tail_of(Template* template) noexcept nogil:
    return error_of(template) + template.error_length


cdef inline uint8_t* text_of(Question* question) noexcept nogil:
    return <uint8_t*>(question + 1)


cdef inline bint is_question(Question* question, const uint8_t* text, size_t length) noexcept nogil:
    return question.length == length and memcmp(text_of(question), text, length) == 0


cdef inline uint64_t outcome_key(
    uint64_t group, uint64_t level, uint64_t rank, uint64_t share
) noexcept nogil:
    return group << 38 | level << 37 | rank << 13 | share


cdef inline uint64_t ranks_key(uint64_t plan, uint64_t level) noexcept nogil:
    return plan << 1 | level


cdef inline uint32_t* rank_of(Ranks* ranks, uint32_t vantage) noexcept nogil:
    """Where it stands; NULL when there is no such vantage."""
    return <uint32_t*>(ranks + 1) + vantage if vantage < ranks.vantages else NULL
