"""What heads are made of: kinds of octets, and text that is read and written."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, strlen

cdef extern from "<endian.h>" nogil:
    uint64_t le64toh(uint64_t value)

cdef extern from * nogil:
    """
    #include <stdint.h>
    enum {
        EDGE_TOKEN = 1,         /* RFC 9110 5.6.2 */
        EDGE_REQUEST_NAME = 2,  /* the same without _, which some servers read as - */
        EDGE_TARGET = 4,        /* visible ASCII without # */
        EDGE_PATH = 8,          /* what in a path means only itself: a target's, without . % ? and \\ */
        EDGE_LABEL = 16,        /* between the dots of a host name */
        EDGE_IDENTIFIER = 32,   /* of a request */
        EDGE_LOWER_HEX = 64
    };
    #define EDGE_SYMBOL (EDGE_TOKEN | EDGE_REQUEST_NAME | EDGE_TARGET | EDGE_PATH)
    #define EDGE_LETTER (EDGE_SYMBOL | EDGE_LABEL | EDGE_IDENTIFIER)
    #define EDGE_DELIMITER (EDGE_TARGET | EDGE_PATH)
    static const uint8_t edge_octets[256] = {
        ['0' ... '9'] = EDGE_LETTER | EDGE_LOWER_HEX,
        ['A' ... 'Z'] = EDGE_LETTER,
        ['a' ... 'f'] = EDGE_LETTER | EDGE_LOWER_HEX,
        ['g' ... 'z'] = EDGE_LETTER,
        ['!'] = EDGE_SYMBOL, ['$'] = EDGE_SYMBOL, ['&'] = EDGE_SYMBOL, [39] = EDGE_SYMBOL,
        ['*'] = EDGE_SYMBOL, ['^'] = EDGE_SYMBOL, ['`'] = EDGE_SYMBOL, ['|'] = EDGE_SYMBOL,
        ['+'] = EDGE_SYMBOL | EDGE_IDENTIFIER,
        ['-'] = EDGE_LETTER,
        ['_'] = EDGE_LETTER & ~EDGE_REQUEST_NAME,
        ['~'] = EDGE_SYMBOL | EDGE_LABEL,
        ['.'] = EDGE_TOKEN | EDGE_REQUEST_NAME | EDGE_TARGET | EDGE_IDENTIFIER,
        ['%'] = EDGE_TOKEN | EDGE_REQUEST_NAME | EDGE_TARGET,
        ['#'] = EDGE_TOKEN | EDGE_REQUEST_NAME,
        ['?'] = EDGE_TARGET, [92] = EDGE_TARGET,
        ['/'] = EDGE_DELIMITER | EDGE_IDENTIFIER, [':'] = EDGE_DELIMITER | EDGE_IDENTIFIER,
        ['='] = EDGE_DELIMITER | EDGE_IDENTIFIER, ['@'] = EDGE_DELIMITER | EDGE_IDENTIFIER,
        [34] = EDGE_DELIMITER, ['('] = EDGE_DELIMITER, [')'] = EDGE_DELIMITER, [','] = EDGE_DELIMITER,
        [';'] = EDGE_DELIMITER, ['<'] = EDGE_DELIMITER, ['>'] = EDGE_DELIMITER, ['['] = EDGE_DELIMITER,
        [']'] = EDGE_DELIMITER, ['{'] = EDGE_DELIMITER, ['}'] = EDGE_DELIMITER,
    };
    static inline unsigned edge_lowest_bit(uint64_t word) { return (unsigned)__builtin_ctzll(word); }
    """
    const uint8_t* octets "edge_octets"
    unsigned lowest_bit "edge_lowest_bit" (uint64_t word)
    enum:
        TOKEN "EDGE_TOKEN"
        REQUEST_NAME "EDGE_REQUEST_NAME"
        TARGET "EDGE_TARGET"
        PATH "EDGE_PATH"
        LABEL "EDGE_LABEL"
        IDENTIFIER "EDGE_IDENTIFIER"
        LOWER_HEX "EDGE_LOWER_HEX"

cdef enum:
    # What a reader says: all is there; all so far is good; Python is to look at it.
    READ = 1
    MORE = 0
    UNUSUAL = -1

cdef enum:
    MOST_FIELDS = 128
    MOST_CLAIMS = 16

cdef struct Span:
    # Of the data that was read. size 0: absent, or empty.
    uint32_t at
    uint32_t size

cdef struct Limits:
    # As edge.http1.limits: bytes, bytes, count. All are far below 2**32.
    size_t first_line
    size_t head
    uint32_t fields

cdef inline Span span(size_t at, size_t end) noexcept nogil:
    cdef Span made
    made.at = <uint32_t>at
    made.size = <uint32_t>(end - at)
    return made


cdef inline size_t end_of(const uint8_t* data, size_t at, size_t end, uint8_t kind) noexcept nogil:
    """Where the octets of this kind that begin at `at` are over; `end` at the latest."""
    while at < end and octets[data[at]] & kind:
        at += 1
    return at


cdef inline uint64_t _controls(uint64_t word) noexcept nogil:
    """The lowest bit that is set belongs to the first of eight octets that is a control byte."""
    cdef uint64_t del_is_zero = word ^ 0x7F7F7F7F7F7F7F7FULL
    return (
        ((word - 0x2020202020202020ULL) & ~word)
        | ((del_is_zero - 0x0101010101010101ULL) & ~del_is_zero)
    ) & 0x8080808080808080ULL


cdef inline size_t end_of_text(const uint8_t* data, size_t at, size_t end) noexcept nogil:
    """The first control byte that is no tab, from `at` on; `end` if there is none."""
    cdef uint64_t word
    while end - at >= 8:
        memcpy(&word, data + at, 8)
        word = _controls(le64toh(word))
        if word == 0:
            at += 8
            continue
        at += lowest_bit(word) >> 3
        if data[at] != c'\t':
            return at
        at += 1
    while at < end and (data[at] == c'\t' or (data[at] >= 0x20 and data[at] != 0x7F)):
        at += 1
    return at


cdef inline int read_text(
    const uint8_t* data, size_t* at, size_t end, const char* text
) noexcept nogil:
    """Exactly this; `at` is behind it then."""
    cdef size_t size = strlen(text)
    if end - at[0] >= size:
        if memcmp(data + at[0], text, size) != 0:
            return UNUSUAL
        at[0] += size
        return READ
    return MORE if memcmp(data + at[0], text, end - at[0]) == 0 else UNUSUAL


cdef inline bint _is_blank(uint8_t octet) noexcept nogil:
    return octet == c' ' or octet == c'\t'


cdef inline Span trimmed(const uint8_t* data, size_t at, size_t end) noexcept nogil:
    """Without the whitespace around it."""
    while at < end and _is_blank(data[at]):
        at += 1
    while end > at and _is_blank(data[end - 1]):
        end -= 1
    return span(at, end)


cdef inline uint64_t _load8(const void* at) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, at, 8)
    return word


cdef inline uint32_t _load4(const void* at) noexcept nogil:
    cdef uint32_t word
    memcpy(&word, at, 4)
    return word


cdef inline bint is_word(const uint8_t* text, size_t size, const char* word) noexcept nogil:
    """Whether text without controls is this word, in whatever case. word: a constant of 2 to 24 lower-case
    letters and hyphens, for nothing else becomes one of those by the bit that is set here."""
    cdef uint64_t lower = 0x2020202020202020ULL
    if size != strlen(word):
        return False
    if size >= 8:
        return (
            (_load8(text) | lower) == _load8(word)
            and (_load8(text + size - 8) | lower) == _load8(word + size - 8)
            and (size <= 16 or (_load8(text + 8) | lower) == _load8(word + 8))
        )
    if size >= 4:
        return (
            (_load4(text) | <uint32_t>lower) == _load4(word)
            and (_load4(text + size - 4) | <uint32_t>lower) == _load4(word + size - 4)
        )
    return (
        text[0] | 0x20 == word[0]
        and text[1] | 0x20 == word[1]
        and (size == 2 or text[2] | 0x20 == word[2])
    )


cdef inline uint8_t* write_bytes(uint8_t* at, const void* data, size_t size) noexcept nogil:
    """Returns where the next bytes go, as all that write here do."""
    memcpy(at, data, size)
    return at + size


cdef inline uint8_t* write_text(uint8_t* at, const char* text) noexcept nogil:
    return write_bytes(at, text, strlen(text))


cdef inline uint8_t* write_number(uint8_t* at, uint64_t number) noexcept nogil:
    cdef uint8_t digits[20]
    cdef size_t first = 20
    while True:
        first -= 1
        digits[first] = <uint8_t>(c'0' + number % 10)
        number //= 10
        if number == 0:
            return write_bytes(at, &digits[first], 20 - first)
