"""Packets in and out: queries read so strictly that all else is left to Python, answers put together."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from gslb.dns.compiled.stored cimport QUESTION_ROOM, Cut, Template, cuts_of

cdef enum:
    HEADER_LENGTH = 12
    LONGEST_NAME = 255
    LONGEST_LABEL = 63
    IN = 1
    OPT = 41
    OPT_LENGTH = 11
    NSID = 3
    CLIENT_SUBNET = 8
    COOKIE = 10
    TC_IN_BYTE_2 = 0x02
    RD_IN_BYTE_2 = 0x01
    LONGEST_OPTIONS = 64  # client subnet 4 + 4 + 16, cookie 4 + 24

ctypedef struct Query:
    uint32_t name_length  # with the root
    uint32_t question_length  # in the packet: with type and class
    uint32_t text_length  # in `text`: with the type
    bint edns
    bint do
    uint32_t payload
    # The data of the first option of its kind; NULL: there is none.
    const uint8_t* subnet
    const uint8_t* cookie
    uint32_t subnet_length
    uint32_t cookie_length
    uint8_t text[QUESTION_ROOM]  # the name in lower case and its type; zeros up to a whole word

ctypedef struct Subnet:
    # The client subnet that counts (RFC 7871 6).
    bint given
    uint8_t version
    uint8_t source_prefix_length
    uint8_t octets
    uint8_t address[16]  # zeros beyond the prefix


cdef inline uint32_t read16(const uint8_t* at) noexcept nogil:
    return <uint32_t>at[0] << 8 | at[1]


cdef inline uint8_t* write16(uint8_t* at, uint32_t value) noexcept nogil:
    """Returns where the next bytes go, as all that write here do."""
    at[0] = <uint8_t>(value >> 8)
    at[1] = <uint8_t>value
    return at + 2


cdef inline uint8_t* write_bytes(uint8_t* at, const uint8_t* data, size_t length) noexcept nogil:
    memcpy(at, data, length)
    return at + length


cdef inline uint64_t _lower(uint64_t word) noexcept nogil:
    """Eight bytes with `A` to `Z` in lower case; lengths of labels are below `A`."""
    cdef uint64_t seven = word & 0x7F7F7F7F7F7F7F7FULL
    cdef uint64_t from_a = seven + 0x3F3F3F3F3F3F3F3FULL
    cdef uint64_t beyond_z = seven + 0x2525252525252525ULL
    return word | (~word & (from_a ^ beyond_z) & 0x8080808080808080ULL) >> 2


cdef inline bint _read_question(Query* query, const uint8_t* packet, size_t length) noexcept nogil:
    """The question of a packet that has a header; false: Python is to look at it."""
    cdef size_t at = HEADER_LENGTH
    cdef size_t words
    cdef uint64_t word
    cdef uint32_t label
    while True:
        # A label and at least one byte after it, or the root.
        if at >= length:
            return False
        label = packet[at]
        if label == 0:
            break
        if label > LONGEST_LABEL:
            return False
        at += 1 + label
        if at - HEADER_LENGTH >= LONGEST_NAME:
            return False
    at += 1
    query.name_length = <uint32_t>(at - HEADER_LENGTH)
    if at + 4 > length or read16(packet + at + 2) != IN:
        return False
    query.question_length = query.name_length + 4
    query.text_length = query.name_length + 2
    words = (query.text_length + 7) >> 3
    memset(query.text + 8 * (words - 1), 0, 8)
    if words > 1:
        memset(query.text + 8 * (words - 2), 0, 8)
    memcpy(query.text, packet + HEADER_LENGTH, query.name_length)
    for at in range(words):
        memcpy(&word, query.text + 8 * at, 8)
        word = _lower(word)
        memcpy(query.text + 8 * at, &word, 8)
    memcpy(query.text + query.name_length, packet + HEADER_LENGTH + query.name_length, 2)
    return True


cdef inline bint _read_options(Query* query, const uint8_t* at, const uint8_t* end) noexcept nogil:
    """The options of an OPT record (gslb.dns.edns.read_opt); false: Python is to look at them."""
    cdef uint32_t code
    cdef uint32_t length
    while at < end:
        if end - at < 4:
            return False
        code = read16(at)
        length = read16(at + 2)
        at += 4
        if <size_t>(end - at) < length:
            return False
        if code == CLIENT_SUBNET:
            if query.subnet == NULL:
                query.subnet = at
                query.subnet_length = length
        elif code == COOKIE:
            if query.cookie == NULL:
                query.cookie = at
                query.cookie_length = length
        elif code == NSID:
            return False
        at += length
    return True


cdef inline bint read_query(Query* query, const uint8_t* packet, size_t length) noexcept nogil:
    """A plain query of the class IN, with an OPT record or without; false: Python is to look at it."""
    cdef const uint8_t* record
    cdef size_t end
    if length < HEADER_LENGTH or packet[2] & 0xF8:
        return False
    # One question, no answers, no authorities, at most one additional record.
    if read16(packet + 4) != 1 or read16(packet + 6) or read16(packet + 8) or read16(packet + 10) > 1:
        return False
    if not _read_question(query, packet, length):
        return False
    end = HEADER_LENGTH + query.question_length
    query.edns = packet[11] == 1
    query.subnet = query.cookie = NULL
    if not query.edns:
        return end == length
    record = packet + end
    # Owned by the root, of version 0, and its data end where the packet does.
    if length - end < OPT_LENGTH or record[0] != 0 or read16(record + 1) != OPT or record[6] != 0:
        return False
    if read16(record + 9) != length - end - OPT_LENGTH:
        return False
    query.payload = read16(record + 3)
    query.do = record[7] & 0x80
    return _read_options(query, record + OPT_LENGTH, packet + length)


cdef inline bint read_subnet(Subnet* subnet, const uint8_t* data, uint32_t length) noexcept nogil:
    """The client-subnet option (gslb.dns.edns.read_client_subnet); false: Python is to look at it."""
    cdef uint32_t family
    cdef uint32_t source
    if length < 4:
        return False
    family = read16(data)
    source = data[2]
    if data[3] != 0 or family < 1 or family > 2 or source > (32 if family == 1 else 128):
        return False
    if length - 4 != (source + 7) >> 3:
        return False
    if source & 7 and data[length - 1] & 0xFF >> (source & 7):
        return False
    subnet.given = True
    subnet.version = 4 if family == 1 else 6
    subnet.source_prefix_length = <uint8_t>source
    subnet.octets = <uint8_t>(length - 4)
    memset(subnet.address, 0, 16)
    memcpy(subnet.address, data + 4, length - 4)
    return True


cdef inline uint8_t* write_subnet(uint8_t* at, const Subnet* subnet, uint32_t scope) noexcept nogil:
    """The option sent back, with the scope for which the answer holds (RFC 7871 7.2.1)."""
    at = write16(at, CLIENT_SUBNET)
    at = write16(at, 4 + subnet.octets)
    at = write16(at, 1 if subnet.version == 4 else 2)
    at[0] = subnet.source_prefix_length
    at[1] = <uint8_t>(scope if subnet.source_prefix_length else 0)
    return write_bytes(at + 2, subnet.address, subnet.octets)


cdef inline Cut* fitting_cut(Template* template, int64_t room) noexcept nogil:
    """The longest cut that `room` bytes are enough for, else the shortest."""
    cdef Cut* cut = cuts_of(template)
    cdef Cut* last = cut + template.cuts - 1
    while cut < last and <int64_t>cut.length > room:
        cut += 1
    return cut


cdef inline uint8_t* write_head(
    uint8_t* at, const uint8_t* packet, const Query* query, uint32_t flags, const Cut* cut
) noexcept nogil:
    """Header and question, as gslb.dns.packing.assemble has them; the question's case is kept."""
    at[0] = packet[0]
    at[1] = packet[1]
    write16(at + 2, flags)
    at[2] |= packet[2] & RD_IN_BYTE_2
    write16(at + 4, 1)
    write16(at + 6, cut.answers)
    write16(at + 8, cut.authorities)
    write16(at + 10, cut.additionals + (1 if query.edns else 0))
    return write_bytes(at + HEADER_LENGTH, packet + HEADER_LENGTH, query.question_length)


cdef inline uint8_t* write_opt(
    uint8_t* at, const Query* query, uint32_t payload, uint32_t length
) noexcept nogil:
    """The OPT record but for its options, which have `length` bytes."""
    at[0] = 0
    at = write16(at + 1, OPT)
    at = write16(at, payload)
    at = write16(at, 0)
    at = write16(at, 0x8000 if query.do else 0)
    return write16(at, length)
