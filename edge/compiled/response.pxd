"""Reads the heads of plain responses and writes them as edge.proxy.headers does; the rest is Python's."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from edge.compiled.fields cimport (
    Field,
    Lines,
    keep,
    read_connection,
    read_field,
    read_length,
    write_lines,
)
from edge.compiled.octets cimport (
    MORE,
    MOST_FIELDS,
    READ,
    TOKEN,
    UNUSUAL,
    Limits,
    Span,
    end_of_text,
    is_word,
    read_text,
    span,
    write_bytes,
    write_number,
    write_text,
)

cdef enum:
    VERSION_AND_STATUS = 12  # bytes
    ADDED_TO_RESPONSE = 96  # more than the lines that are written anew have beside what they are given

cdef enum Framing:
    NO_BODY
    LENGTH
    CHUNKED

cdef enum Role:
    # What a response's field is to the edge.
    PASSED_ON
    LEFT_OUT
    OF_CONNECTION
    OF_LENGTH
    OF_CODING
    OF_DATE

cdef struct ResponseHead:
    size_t size  # with the empty line
    int status  # 200 to 599
    Framing framing
    int64_t length  # of the body; -1 unless framing is LENGTH
    int64_t announced  # what Content-Length says though no body follows, to HEAD or in a 304; -1: nothing
    bint keep_alive  # whether the server takes another request on this connection
    bint in_doubt  # whether a body may follow that must not: edge.proxy.upstream
    bint dated
    # Whether there have been such fields.
    bint connected
    bint coded
    Span reason
    Lines lines


cdef inline Role _role(const uint8_t* name, size_t size) noexcept nogil:
    """Of a response's field. The names are those of edge.proxy.headers and edge.http1.response_head."""
    if size == 4:
        return OF_DATE if is_word(name, size, b"date") else PASSED_ON
    if size == 10:
        if is_word(name, size, b"connection"):
            return OF_CONNECTION
        return LEFT_OUT if is_word(name, size, b"keep-alive") else PASSED_ON
    if size == 14:
        return OF_LENGTH if is_word(name, size, b"content-length") else PASSED_ON
    if size == 17:
        return OF_CODING if is_word(name, size, b"transfer-encoding") else PASSED_ON
    return LEFT_OUT if _stays_here(name, size) else PASSED_ON


cdef inline bint _stays_here(const uint8_t* name, size_t size) noexcept nogil:
    """Fields that go no further, and that nobody reads here."""
    if size == 2:
        return is_word(name, size, b"te")
    if size == 7:
        return is_word(name, size, b"upgrade") or is_word(name, size, b"trailer")
    if size == 12:
        return is_word(name, size, b"x-request-id")
    if size == 13:
        return is_word(name, size, b"x-gslb-region") or is_word(name, size, b"x-gslb-server")
    if size == 16:
        return is_word(name, size, b"proxy-connection")
    if size == 18:
        return is_word(name, size, b"proxy-authenticate")
    if size == 19:
        return is_word(name, size, b"proxy-authorization")
    return False


cdef inline bint _is_digit(uint8_t octet) noexcept nogil:
    return c'0' <= octet <= c'9'


cdef inline int _read_status(
    ResponseHead* head, const uint8_t* data, size_t* next, size_t end
) noexcept nogil:
    """The status line. next: where the fields begin, then."""
    cdef size_t at = 0
    cdef size_t digits
    cdef int outcome = read_text(data, &at, end, b"HTTP/1.1 ")
    if outcome != READ:
        return outcome
    head.status = 0
    for digits in range(3):
        if at == end:
            return MORE
        if not _is_digit(data[at]):
            return UNUSUAL
        head.status = 10 * head.status + (data[at] - c'0')
        at += 1
    if head.status < 200 or head.status > 599:
        return UNUSUAL
    head.reason = span(at, at)
    if at < end and data[at] == c' ':
        next[0] = end_of_text(data, at + 1, end)
        head.reason = span(at + 1, next[0])
    else:
        next[0] = at
    return read_text(data, next, end, b"\r\n")


cdef inline bint _heed(ResponseHead* head, const uint8_t* data, const Field* field) noexcept nogil:
    """What a field says; false: Python is to look at it."""
    cdef Role role = _role(data + field.name.at, field.name.size)
    if role == PASSED_ON or role == OF_DATE:
        head.dated |= role == OF_DATE
        keep(&head.lines, field, False)
    elif role == OF_CONNECTION:
        if head.connected:
            return False
        head.connected = True
        return read_connection(data, field.value, True, &head.keep_alive)
    elif role == OF_LENGTH:
        if head.length >= 0 or head.coded:
            return False
        head.length = read_length(data, field.value)
        return head.length >= 0
    elif role == OF_CODING:
        if head.length >= 0 or head.coded:
            return False
        head.coded = True
        return is_word(data + field.value.at, field.value.size, b"chunked")
    return True


cdef inline bint _frame(ResponseHead* head, bint is_head) noexcept nogil:
    """Where the body ends, as edge.http1.response_head has it; false: Python is to look at it.

    Before, `length` is what Content-Length says.
    """
    cdef int64_t said = head.length
    head.announced = head.length = -1
    head.framing = NO_BODY
    if head.status == 204:
        return not head.coded and said <= 0
    if is_head or head.status == 304:
        head.announced = said
        head.in_doubt = is_head and (said > 0 or head.coded)
    elif head.coded:
        head.framing = CHUNKED
    elif said >= 0:
        head.framing = LENGTH
        head.length = said
    else:
        return False  # the body ends with the connection
    return True


cdef inline int _read_response_fields(
    ResponseHead* head, const uint8_t* data, size_t at, size_t end, uint32_t most
) noexcept nogil:
    """The field lines from `at` on, and the empty line."""
    cdef Field field
    cdef uint32_t fields = 0
    cdef int outcome
    while at == end or data[at] != c'\r':
        outcome = read_field(data, at, end, TOKEN, &field)
        if outcome != READ:
            return outcome
        fields += 1
        if fields > most or not _heed(head, data, &field):
            return UNUSUAL
        at = field.line.at + field.line.size
    outcome = read_text(data, &at, end, b"\r\n")
    head.size = at
    return outcome


cdef inline int read_response(
    const uint8_t* data, size_t size, bint is_head, const Limits* limits, ResponseHead* head
) noexcept nogil:
    """READ: `data` begins with a whole plain head. MORE: with a part of one. UNUSUAL: Python is to read it.

    is_head: whether the request was a HEAD. Of `head` nothing counts unless it is READ.
    """
    cdef size_t end = min(size, limits.head)
    cdef size_t line_end = min(end, limits.first_line + 2)
    cdef size_t at = 0
    cdef int outcome = _read_status(head, data, &at, line_end)
    if outcome == MORE and size >= min(limits.head, limits.first_line + 2):
        return UNUSUAL  # it is too long
    if outcome != READ:
        return outcome
    head.length = -1
    head.keep_alive = True
    head.dated = head.in_doubt = head.connected = head.coded = False
    head.lines.count = 0
    outcome = _read_response_fields(head, data, at, end, min(limits.fields, <uint32_t>MOST_FIELDS))
    if outcome == MORE and size >= limits.head:
        return UNUSUAL
    return outcome if outcome != READ or _frame(head, is_head) else UNUSUAL


cdef inline size_t response_room(const ResponseHead* head, size_t added) noexcept nogil:
    """Bytes that are enough for write_response. added: of the date and the marks together."""
    return head.size + head.lines.count + added + ADDED_TO_RESPONSE


cdef inline size_t write_response(
    uint8_t* into,
    const uint8_t* data,
    const ResponseHead* head,
    bint keep_alive,
    const uint8_t* date,
    size_t date_size,
    const uint8_t* marks,
    size_t marks_size,
) noexcept nogil:
    """The head as an HTTP/1.1 client gets it (edge.proxy.headers.client_head); returns its size.

    keep_alive: whether the client's connection stays. date: a whole line, for a head that has none. marks:
    the edge's own field lines.
    """
    cdef int64_t length = head.length if head.framing == LENGTH else head.announced
    cdef uint8_t* at = write_bytes(into, data, VERSION_AND_STATUS)
    at = write_text(at, b" ")
    at = write_bytes(at, data + head.reason.at, head.reason.size)
    at = write_text(at, b"\r\n")
    at = write_lines(at, data, &head.lines, False)
    if head.framing == CHUNKED:
        at = write_text(at, b"Transfer-Encoding: chunked\r\n")
    elif length >= 0:
        at = write_text(at, b"Content-Length: ")
        at = write_number(at, <uint64_t>length)
        at = write_text(at, b"\r\n")
    if not head.dated:
        at = write_bytes(at, date, date_size)
    at = write_bytes(at, marks, marks_size)
    if not keep_alive:
        at = write_text(at, b"Connection: close\r\n")
    return <size_t>(write_text(at, b"\r\n") - into)
