"""What a request's fields are to the edge, by their names (edge.proxy.headers), and what a Host may be."""

from libc.stdint cimport uint8_t, uint32_t

from edge.compiled.octets cimport LABEL, Span, end_of, is_word

cdef enum:
    LONGEST_HOST = 262
    LONGEST_PORT = 5
    HIGHEST_PORT = 65535

cdef enum Meaning:
    # Those before ORDINARY go no further, the others travel on.
    STAYS_HERE
    LEFT_TO_PYTHON
    HOST
    CONNECTION
    CONTENT_LENGTH
    REQUEST_ID
    CLAIM
    ORDINARY
    VIA
    TRACE
    TRACE_STATE
    AUTHORIZATION
    REFERER
    USER_AGENT
    COOKIE


cdef inline Meaning meaning_of(const uint8_t* name, size_t size) noexcept nogil:
    """Of a request's field. The names are those of edge.proxy.headers and edge.http1.request_head."""
    if size == 2:
        return LEFT_TO_PYTHON if is_word(name, size, b"te") else ORDINARY
    if size == 3:
        return VIA if is_word(name, size, b"via") else ORDINARY
    if size == 4:
        return HOST if is_word(name, size, b"host") else ORDINARY
    if size == 6:
        if is_word(name, size, b"cookie"):
            return COOKIE
        return LEFT_TO_PYTHON if is_word(name, size, b"expect") else ORDINARY
    if size == 7:
        if is_word(name, size, b"referer"):
            return REFERER
        if is_word(name, size, b"upgrade"):
            return LEFT_TO_PYTHON
        return STAYS_HERE if is_word(name, size, b"trailer") else ORDINARY
    if size == 9:
        if is_word(name, size, b"forwarded") or is_word(name, size, b"x-real-ip"):
            return CLAIM
        return ORDINARY
    if size == 10:
        if is_word(name, size, b"user-agent"):
            return USER_AGENT
        if is_word(name, size, b"connection"):
            return CONNECTION
        if is_word(name, size, b"tracestate"):
            return TRACE_STATE
        return STAYS_HERE if is_word(name, size, b"keep-alive") else ORDINARY
    if size == 11:
        return TRACE if is_word(name, size, b"traceparent") else ORDINARY
    if size == 12:
        return REQUEST_ID if is_word(name, size, b"x-request-id") else ORDINARY
    if size == 13:
        return AUTHORIZATION if is_word(name, size, b"authorization") else ORDINARY
    if size == 14:
        return CONTENT_LENGTH if is_word(name, size, b"content-length") else ORDINARY
    if size >= 15:
        return _meaning_of_long(name, size)
    return ORDINARY


cdef inline Meaning _meaning_of_long(const uint8_t* name, size_t size) noexcept nogil:
    if size == 15:
        return CLAIM if is_word(name, size, b"x-forwarded-for") else ORDINARY
    if size == 16:
        if is_word(name, size, b"x-forwarded-host") or is_word(name, size, b"x-forwarded-port"):
            return CLAIM
        return STAYS_HERE if is_word(name, size, b"proxy-connection") else ORDINARY
    if size == 17:
        if is_word(name, size, b"x-forwarded-proto"):
            return CLAIM
        return LEFT_TO_PYTHON if is_word(name, size, b"transfer-encoding") else ORDINARY
    if size == 18:
        return STAYS_HERE if is_word(name, size, b"proxy-authenticate") else ORDINARY
    if size == 19:
        return STAYS_HERE if is_word(name, size, b"proxy-authorization") else ORDINARY
    return ORDINARY


cdef inline bint is_authority(const uint8_t* data, Span value) noexcept nogil:
    """Whether it is a name or an IPv4 address, with a port or without (edge.http1.target)."""
    cdef size_t at = value.at
    cdef size_t end = at + value.size
    cdef size_t label
    cdef uint32_t port = 0
    if value.size > LONGEST_HOST:
        return False
    while True:
        label = at
        at = end_of(data, at, end, LABEL)
        if at == label:
            # An empty label: there is only the one behind the final dot.
            if at == value.at:
                return False
            break
        if at == end or data[at] != c'.':
            break
        at += 1
    if at == end:
        return True
    if data[at] != c':' or end - at > LONGEST_PORT + 1:
        return False
    for at in range(at + 1, end):
        if data[at] < c'0' or data[at] > c'9':
            return False
        port = 10 * port + (data[at] - c'0')
    return port <= HIGHEST_PORT
