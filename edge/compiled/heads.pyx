# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""What the loop reads and writes, for tests; see heads.pyi."""

from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from edge.compiled.chunks cimport TRAILER as TRAILER_BEGINS, Chunks, begin_chunks, read_chunks
from edge.compiled.identifiers cimport Random, hex_id, seed
from edge.compiled.octets cimport (
    MORE as MORE_IS_NEEDED,
    READ as ALL_READ,
    UNUSUAL as LEFT_TO_PYTHON,
    Limits,
    Span,
)
from edge.compiled.request cimport RequestHead, read_request, request_room, write_request
from edge.compiled.response cimport (
    CHUNKED,
    LENGTH,
    ResponseHead,
    read_response,
    response_room,
    write_response,
)

READ, MORE, UNUSUAL, TRAILER = ALL_READ, MORE_IS_NEEDED, LEFT_TO_PYTHON, TRAILER_BEGINS

cdef enum:
    MOST_PIECES = 256


cdef class _Block:
    """Memory of exactly so many bytes, so that a sanitizer sees what is read or written beyond them."""

    cdef uint8_t* at
    cdef size_t size

    def __cinit__(self, size_t size, bytes content=None):
        self.size = size
        self.at = <uint8_t*>malloc(size or 1)
        if self.at == NULL:
            raise MemoryError
        if content is not None:
            memcpy(self.at, <const uint8_t*>content, size)

    def __dealloc__(self):
        free(self.at)

    cdef bytes piece(self, Span part):
        return self.at[part.at : part.at + part.size]


cdef _Block _block(bytes content):
    return _Block(len(content), content)


cdef Limits _limits(limits):
    cdef Limits made
    made.first_line, made.head, made.fields = limits
    return made


def request(bytes data not None, limits, bytes new_id, bytes lines, bytes via, bytes entropy):
    cdef _Block block = _block(data)
    cdef _Block out
    cdef Limits bounds = _limits(limits)
    cdef RequestHead head
    cdef Random random
    cdef size_t written
    cdef int outcome = read_request(block.at, block.size, &bounds, &head)
    if outcome != ALL_READ:
        return outcome
    seed(&random, entropy)
    used_id = block.piece(head.request_id) or new_id
    out = _Block(request_room(&head, len(used_id) + len(lines) + len(via)))
    written = write_request(
        out.at, block.at, &head, used_id, len(used_id), lines, len(lines), via, len(via), &random
    )
    return {
        "size": head.size,
        "method": block.piece(head.method),
        "target": block.piece(head.target),
        "path": block.piece(head.path),
        "host": block.piece(head.host),
        "request_id": block.piece(head.request_id),
        "via": block.piece(head.via),
        "authorization": block.piece(head.authorization),
        "referer": block.piece(head.referer),
        "user_agent": block.piece(head.user_agent),
        "cookie": block.piece(head.cookie),
        "length": head.length,
        "is_head": head.is_head,
        "idempotent": head.idempotent,
        "keep_alive": head.keep_alive,
        "traced": head.traced,
        "plain_path": head.plain_path,
        "claims": [
            (block.piece(head.claim_name[at]), block.piece(head.claim_value[at])) for at in range(head.claims)
        ],
        "written": out.at[:written],
    }


def response(bytes data not None, limits, bint is_head, bint keep_alive, bytes date, bytes marks):
    cdef _Block block = _block(data)
    cdef _Block out
    cdef Limits bounds = _limits(limits)
    cdef ResponseHead head
    cdef size_t written
    cdef int outcome = read_response(block.at, block.size, is_head, &bounds, &head)
    if outcome != ALL_READ:
        return outcome
    out = _Block(response_room(&head, len(date) + len(marks)))
    written = write_response(
        out.at, block.at, &head, keep_alive, date, len(date), marks, len(marks)
    )
    return {
        "size": head.size,
        "status": head.status,
        "reason": block.piece(head.reason),
        "framing": "length" if head.framing == LENGTH else "chunked" if head.framing == CHUNKED else "none",
        "length": head.length,
        "announced": head.announced,
        "keep_alive": head.keep_alive,
        "in_doubt": head.in_doubt,
        "dated": head.dated,
        "written": out.at[:written],
    }


cdef class Dechunker:
    cdef Chunks _chunks
    cdef size_t _line_limit
    cdef int _most

    def __cinit__(self, size_t line_limit, int most):
        if not 1 <= most <= MOST_PIECES:
            raise ValueError(f"there is room for 1 to {MOST_PIECES} pieces")
        self._line_limit = line_limit
        self._most = most
        begin_chunks(&self._chunks)

    def receive(self, bytes data not None):
        cdef _Block block = _block(data)
        cdef Span pieces[MOST_PIECES]
        cdef size_t used
        cdef int count
        cdef int outcome = read_chunks(
            &self._chunks, block.at, block.size, self._line_limit, pieces, self._most, &count, &used
        )
        return outcome, [block.piece(pieces[at]) for at in range(count)], used


def request_ids(bytes entropy not None, int count):
    cdef Random random
    cdef uint8_t made[32]
    if len(entropy) != 32:
        raise ValueError("there must be 32 bytes of entropy")
    seed(&random, entropy)
    ids = []
    for _ in range(count):
        hex_id(&random, made)
        ids.append(made[:32])
    return ids
