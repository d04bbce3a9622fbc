"""Reads the heads of plain requests and writes them as edge.proxy.headers does; the rest is Python's."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from edge.compiled.fields cimport (
    Field,
    Lines,
    keep,
    read_connection,
    read_field,
    read_length,
    write_lines,
)
from edge.compiled.identifiers cimport Random, is_id, is_trace_parent, write_trace_parent
from edge.compiled.octets cimport (
    MORE,
    MOST_CLAIMS,
    MOST_FIELDS,
    PATH,
    READ,
    REQUEST_NAME,
    TARGET,
    TOKEN,
    UNUSUAL,
    Limits,
    Span,
    end_of,
    read_text,
    span,
    write_bytes,
    write_number,
    write_text,
)
from edge.compiled.request_fields cimport (
    AUTHORIZATION,
    CLAIM,
    CONNECTION,
    CONTENT_LENGTH,
    COOKIE,
    HOST,
    LEFT_TO_PYTHON,
    ORDINARY,
    REFERER,
    REQUEST_ID,
    TRACE,
    TRACE_STATE,
    USER_AGENT,
    VIA,
    Meaning,
    is_authority,
    meaning_of,
)

cdef enum:
    ADDED_TO_REQUEST = 192  # more than the lines that are written anew have beside what they are given

cdef struct RequestHead:
    size_t size  # with the empty line
    # path: the target's, without its query. via, authorization, referer, user_agent and cookie: of the first
    # field of that name. request_id: empty if a new one is needed.
    Span method
    Span target
    Span path
    Span host
    Span request_id
    Span via
    Span authorization
    Span referer
    Span user_agent
    Span cookie
    int64_t length  # of the body; -1: there is none, nor a Content-Length
    bint is_head
    bint idempotent
    bint keep_alive
    bint traced
    bint plain_path  # the path is what edge.path.normalise_path makes of it
    # What a client says of itself, in order: X-Forwarded-*, X-Real-IP, Forwarded.
    uint32_t claims
    Span claim_name[MOST_CLAIMS]
    Span claim_value[MOST_CLAIMS]
    # How many fields there have been.
    uint32_t ids
    uint32_t parents
    uint32_t connections
    Lines lines


cdef inline size_t _end_of_path(const uint8_t* data, size_t at, size_t end, bint* plain) noexcept nogil:
    """Of a path that begins at `at` with a slash."""
    plain[0] = True
    while True:
        at = end_of(data, at, end, PATH)
        if at == end:
            return at
        if data[at] == c'.':
            if data[at - 1] == c'/':
                plain[0] = False
        elif data[at] == c'%' or data[at] == c'\\':
            plain[0] = False
        else:
            return at
        at += 1


cdef inline int _read_line(RequestHead* head, const uint8_t* data, size_t* next, size_t end) noexcept nogil:
    """The request line. next: where the fields begin, then."""
    cdef size_t at = end_of(data, 0, end, TOKEN)
    cdef size_t target = at + 1
    head.method = span(0, at)
    if target >= end:
        return MORE if at == end or (at and data[at] == c' ') else UNUSUAL
    if at == 0 or data[at] != c' ' or data[target] != c'/':
        return UNUSUAL
    at = _end_of_path(data, target, end, &head.plain_path)
    head.path = span(target, at)
    next[0] = end_of(data, at, end, TARGET)
    head.target = span(target, next[0])
    return read_text(data, next, end, b" HTTP/1.1\r\n")


cdef inline bint _judge_method(RequestHead* head, const uint8_t* method) noexcept nogil:
    """What may be done with a request of this method; false for CONNECT."""
    cdef size_t size = head.method.size
    head.is_head = size == 4 and memcmp(method, b"HEAD", 4) == 0
    head.idempotent = (
        head.is_head
        or (size == 3 and (memcmp(method, b"GET", 3) == 0 or memcmp(method, b"PUT", 3) == 0))
        or (size == 5 and memcmp(method, b"TRACE", 5) == 0)
        or (size == 6 and memcmp(method, b"DELETE", 6) == 0)
        or (size == 7 and memcmp(method, b"OPTIONS", 7) == 0)
    )
    return not (size == 7 and memcmp(method, b"CONNECT", 7) == 0)


cdef inline void _first(Span* found, Span value) noexcept nogil:
    """No field begins at 0, so what has a place was there before."""
    if found.at == 0:
        found[0] = value


cdef inline void _claim(RequestHead* head, const Field* field) noexcept nogil:
    """There is room for it."""
    head.claim_name[head.claims] = field.name
    head.claim_value[head.claims] = field.value
    head.claims += 1


cdef inline bint _take_in(
    RequestHead* head, Meaning meaning, const uint8_t* data, const Field* field
) noexcept nogil:
    """What a field that stays here says; false: Python is to look at it."""
    if meaning == HOST:
        if head.host.at or not is_authority(data, field.value):
            return False
        head.host = field.value
    elif meaning == CONNECTION:
        head.connections += 1
        return head.connections == 1 and read_connection(data, field.value, False, &head.keep_alive)
    elif meaning == CONTENT_LENGTH:
        if head.length >= 0:
            return False
        head.length = read_length(data, field.value)
        return head.length >= 0
    elif meaning == REQUEST_ID:
        head.ids += 1
        head.request_id = field.value if head.ids == 1 and is_id(data, field.value) else span(0, 0)
    elif meaning == CLAIM:
        if head.claims == MOST_CLAIMS:
            return False
        _claim(head, field)
    return meaning != LEFT_TO_PYTHON


cdef inline bint _take(
    RequestHead* head, Meaning meaning, const uint8_t* data, const Field* field
) noexcept nogil:
    """Of a field that travels on, what the edge wants to know; false: it is for Python."""
    if meaning == VIA:
        if head.via.at:
            return False
        head.via = field.value
    elif meaning == TRACE:
        head.parents += 1
        head.traced = head.parents == 1 and is_trace_parent(data + field.value.at, field.value.size)
    elif meaning == AUTHORIZATION:
        _first(&head.authorization, field.value)
    elif meaning == REFERER:
        _first(&head.referer, field.value)
    elif meaning == USER_AGENT:
        _first(&head.user_agent, field.value)
    elif meaning == COOKIE:
        _first(&head.cookie, field.value)
    keep(&head.lines, field, meaning == TRACE or meaning == TRACE_STATE)
    return True


cdef inline bint _understand(RequestHead* head, const uint8_t* data, const Field* field) noexcept nogil:
    """False: it makes the request one for Python."""
    cdef Meaning meaning = meaning_of(data + field.name.at, field.name.size)
    if meaning < ORDINARY:
        return _take_in(head, meaning, data, field)
    return _take(head, meaning, data, field)


cdef inline void _begin(RequestHead* head) noexcept nogil:
    """As if no field had come; the request line is not touched."""
    head.host = head.request_id = head.via = head.authorization = head.referer = span(0, 0)
    head.user_agent = head.cookie = span(0, 0)
    head.length = -1
    head.keep_alive = True
    head.traced = False
    head.claims = head.ids = head.parents = head.connections = 0
    head.lines.count = 0


cdef inline int _read_fields(
    RequestHead* head, const uint8_t* data, size_t at, size_t end, uint32_t most
) noexcept nogil:
    """The field lines from `at` on, and the empty line."""
    cdef Field field
    cdef uint32_t fields = 0
    cdef int outcome
    while at == end or data[at] != c'\r':
        outcome = read_field(data, at, end, REQUEST_NAME, &field)
        if outcome != READ:
            return outcome
        fields += 1
        if fields > most or not _understand(head, data, &field):
            return UNUSUAL
        at = field.line.at + field.line.size
    outcome = read_text(data, &at, end, b"\r\n")
    head.size = at
    return outcome if outcome != READ or head.host.size else UNUSUAL


cdef inline int read_request(
    const uint8_t* data, size_t size, const Limits* limits, RequestHead* head
) noexcept nogil:
    """READ: `data` begins with a whole plain head. MORE: with a part of one. UNUSUAL: Python is to read it.

    Of `head` nothing counts unless it is READ.
    """
    cdef size_t end = min(size, limits.head)
    cdef size_t line_end = min(end, limits.first_line + 2)
    cdef size_t at = 0
    cdef int outcome = _read_line(head, data, &at, line_end)
    if outcome == MORE and size >= min(limits.head, limits.first_line + 2):
        return UNUSUAL  # it is too long
    if outcome != READ:
        return outcome
    if not _judge_method(head, data):
        return UNUSUAL
    _begin(head)
    outcome = _read_fields(head, data, at, end, min(limits.fields, <uint32_t>MOST_FIELDS))
    return UNUSUAL if outcome == MORE and size >= limits.head else outcome


cdef inline size_t request_room(const RequestHead* head, size_t added) noexcept nogil:
    """Bytes that are enough for write_request. added: of the id, the lines and via together."""
    return head.size + head.lines.count + added + ADDED_TO_REQUEST


cdef inline size_t write_request(
    uint8_t* into,
    const uint8_t* data,
    const RequestHead* head,
    const uint8_t* request_id,
    size_t request_id_size,
    const uint8_t* lines,
    size_t lines_size,
    const uint8_t* via,
    size_t via_size,
    Random* random,
) noexcept nogil:
    """The head as a server gets it (edge.proxy.headers.server_head); returns its size.

    request_id: the request's own, or a new one. lines: of edge.forwarded.Introduction. via: this edge's name.
    """
    cdef uint8_t* at = write_bytes(into, data, head.target.at + head.target.size)
    at = write_text(at, b" HTTP/1.1\r\nHost: ")
    at = write_bytes(at, data + head.host.at, head.host.size)
    at = write_text(at, b"\r\n")
    at = write_lines(at, data, &head.lines, head.traced)
    if head.length >= 0:
        at = write_text(at, b"Content-Length: ")
        at = write_number(at, <uint64_t>head.length)
        at = write_text(at, b"\r\n")
    if not head.traced:
        at = write_trace_parent(at, request_id, request_id_size, random)
    at = write_bytes(at, lines, lines_size)
    at = write_text(at, b"X-Request-Id: ")
    at = write_bytes(at, request_id, request_id_size)
    at = write_text(at, b"\r\nVia: 1.1 ")
    at = write_bytes(at, via, via_size)
    return <size_t>(write_text(at, b"\r\n\r\n") - into)
