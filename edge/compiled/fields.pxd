"""Field lines: read as strictly as edge.http1.fields does, and kept for the next hop."""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memchr

from edge.compiled.octets cimport (
    MORE,
    MOST_FIELDS,
    READ,
    UNUSUAL,
    Span,
    end_of,
    end_of_text,
    is_word,
    read_text,
    span,
    trimmed,
    write_bytes,
    write_text,
)

cdef enum:
    MOST_DIGITS = 18  # of a length, as in edge.http1.framing

cdef struct Field:
    Span name
    Span value  # without the whitespace around it
    Span line  # with its line end
    bint plain  # whether the line is "name: value" and no other whitespace

cdef struct Line:
    # What travels on. name.size 0: `value` is a run of whole lines, to be copied; else they are to be written
    # as "name: value".
    Span name
    Span value
    bint of_trace  # travels on only with a request that is traced

cdef struct Lines:
    uint32_t count
    Line line[MOST_FIELDS]


cdef inline int read_field(
    const uint8_t* data, size_t at, size_t end, uint8_t kind, Field* field
) noexcept nogil:
    """A field line that begins at `at`, with a name of this kind of octets."""
    cdef size_t colon = end_of(data, at, end, kind)
    cdef size_t stop
    cdef size_t after
    cdef int outcome
    if colon == end:
        return MORE
    if colon == at or data[colon] != c':':
        return UNUSUAL
    stop = after = end_of_text(data, colon + 1, end)
    outcome = read_text(data, &after, end, b"\r\n")
    if outcome != READ:
        return outcome
    field.name = span(at, colon)
    field.value = trimmed(data, colon + 1, stop)
    field.line = span(at, after)
    field.plain = (
        data[colon + 1] == c' ' and field.value.at == colon + 2 and field.value.at + field.value.size == stop
    )
    return READ


cdef inline void keep(Lines* lines, const Field* field, bint of_trace) noexcept nogil:
    """The field travels on. There are at most MOST_FIELDS."""
    cdef Line* last
    if lines.count and field.plain:
        last = &lines.line[lines.count - 1]
        if (
            last.name.size == 0
            and last.of_trace == of_trace
            and last.value.at + last.value.size == field.line.at
        ):
            last.value.size += field.line.size
            return
    last = &lines.line[lines.count]
    lines.count += 1
    last.name = span(0, 0) if field.plain else field.name
    last.value = field.line if field.plain else field.value
    last.of_trace = of_trace


cdef inline bint read_connection(
    const uint8_t* data, Span value, bint upgrade, bint* keep_alive
) noexcept nogil:
    """The members of a Connection field; false: there are others than close, keep-alive, and upgrade if that
    is allowed."""
    cdef size_t at = value.at
    cdef size_t end = at + value.size
    cdef const uint8_t* comma
    cdef const uint8_t* member
    cdef Span found
    while at < end:
        comma = <const uint8_t*>memchr(data + at, c',', end - at)
        found = trimmed(data, at, end if comma == NULL else <size_t>(comma - data))
        at = end if comma == NULL else <size_t>(comma - data) + 1
        member = data + found.at
        if is_word(member, found.size, b"close"):
            keep_alive[0] = False
        elif not (
            found.size == 0
            or is_word(member, found.size, b"keep-alive")
            or (upgrade and is_word(member, found.size, b"upgrade"))
        ):
            return False
    return True


cdef inline int64_t read_length(const uint8_t* data, Span value) noexcept nogil:
    """The number in a Content-Length field; -1: Python is to look at it."""
    cdef int64_t length = 0
    cdef size_t at
    if value.size < 1 or value.size > MOST_DIGITS:
        return -1
    for at in range(value.at, value.at + value.size):
        if data[at] < c'0' or data[at] > c'9':
            return -1
        length = 10 * length + (data[at] - c'0')
    return length


cdef inline uint8_t* write_lines(
    uint8_t* at, const uint8_t* data, const Lines* lines, bint traced
) noexcept nogil:
    """The field lines that travel on, with the ones of a trace or without."""
    cdef const Line* line
    cdef uint32_t index
    for index in range(lines.count):
        line = &lines.line[index]
        if line.of_trace and not traced:
            continue
        if line.name.size:
            at = write_bytes(at, data + line.name.at, line.name.size)
            at = write_text(at, b": ")
        at = write_bytes(at, data + line.value.at, line.value.size)
        if line.name.size:
            at = write_text(at, b"\r\n")
    return at
