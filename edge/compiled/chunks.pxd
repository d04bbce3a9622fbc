"""Undoes a chunked body, as strictly as edge.http1.message_reader, and looks at no byte twice."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from edge.compiled.octets cimport MORE, READ, UNUSUAL, Span, span

cdef enum:
    TRAILER = 2

cdef enum Step:
    # What the next byte is.
    SIZE = 0
    BLANK  # between the size and a semicolon
    EXTENSION
    SIZE_LF
    CHUNK
    CHUNK_CR
    CHUNK_LF
    LAST  # of an empty line, or of a trailer
    LAST_LF
    OVER

cdef enum:
    MOST_SIZE_DIGITS = 16

cdef struct Chunks:
    # left: of the chunk, in bytes; the number so far while its size is read. line: bytes of a size line.
    uint64_t left
    uint32_t line
    Step step


cdef inline void begin_chunks(Chunks* chunks) noexcept nogil:
    chunks.left = 0
    chunks.line = 0
    chunks.step = SIZE


cdef inline int _digit(uint8_t octet) noexcept nogil:
    """Of a hexadecimal number; -1: it is none."""
    if c'0' <= octet <= c'9':
        return octet - c'0'
    octet |= 0x20
    return octet - c'a' + 10 if c'a' <= octet <= c'f' else -1


cdef inline bint _read_size_byte(Chunks* chunks, uint8_t octet) noexcept nogil:
    """One more byte of a size line; false: it cannot be there."""
    cdef int digit
    if octet == c'\r' and chunks.step != BLANK and chunks.line:
        chunks.step = SIZE_LF
        return True
    chunks.line += 1
    if chunks.step == EXTENSION:
        return octet == c'\t' or (octet >= 0x20 and octet != 0x7F)
    if chunks.step == SIZE:
        digit = _digit(octet)
        if digit >= 0:
            chunks.left = chunks.left << 4 | <uint64_t>digit
            return chunks.line <= MOST_SIZE_DIGITS
        if chunks.line == 1:
            return False
    if octet == c';':
        chunks.step = EXTENSION
        return True
    chunks.step = BLANK
    return octet == c' ' or octet == c'\t'


cdef inline bint _read_mark(Chunks* chunks, uint8_t octet) noexcept nogil:
    """One byte of a line end; false: it is none."""
    if chunks.step == SIZE_LF:
        chunks.step = CHUNK if chunks.left else LAST
        return octet == c'\n'
    if chunks.step == CHUNK_CR:
        chunks.step = CHUNK_LF
        return octet == c'\r'
    if chunks.step == CHUNK_LF:
        begin_chunks(chunks)
        return octet == c'\n'
    chunks.step = OVER
    return octet == c'\n'


cdef inline int read_chunks(
    Chunks* chunks,
    const uint8_t* data,
    size_t size,
    size_t line_limit,
    Span* pieces,
    int most,
    int* count,
    size_t* used,
) noexcept nogil:
    """The data of the chunks as pieces of `data`; they go on at `used`, where the next call is to begin.

    line_limit: of a chunk's size and extensions, in bytes. most: pieces there is room for.
    READ: the body is over, without a trailer. TRAILER: one begins at `used`. UNUSUAL: it is broken.
    MORE: all bytes were used, or all pieces.
    """
    cdef size_t at = 0
    cdef size_t end
    cdef bint good = True
    count[0] = 0
    while at < size and good and chunks.step != OVER:
        if chunks.step == CHUNK:
            if count[0] == most:
                break
            end = at + chunks.left if chunks.left < size - at else size
            pieces[count[0]] = span(at, end)
            count[0] += 1
            chunks.left -= end - at
            at = end
            if chunks.left == 0:
                chunks.step = CHUNK_CR
            continue
        if chunks.step == LAST:
            if data[at] != c'\r':
                used[0] = at
                return TRAILER
            chunks.step = LAST_LF
        elif chunks.step <= EXTENSION:
            good = _read_size_byte(chunks, data[at]) and chunks.line <= line_limit
        else:
            good = _read_mark(chunks, data[at])
        at += 1
    used[0] = at
    if not good:
        return UNUSUAL
    return READ if chunks.step == OVER else MORE
