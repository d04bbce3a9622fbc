"""A connection of a client on the compiled path."""

from libc.stdint cimport int64_t, uint8_t

from edge.compiled.buffer cimport Buffer
from edge.compiled.chunks cimport Chunks
from edge.compiled.link cimport Asking, Link
from edge.compiled.octets cimport Limits, Span
from edge.compiled.request cimport RequestHead
from edge.compiled.sockets cimport iovec
from edge.compiled.terms cimport Terms, Way

cdef enum:
    LONGEST_ID = 128

cdef enum State:
    READING  # for a request, or the rest of one
    CONNECTING
    WAITING  # for the response to begin
    RESPONDING
    TRAILING  # the trailer of a chunked response
    LINGERING  # the last response was sent, and the client has not left yet
    LEFT  # closed, or handed over


cdef class Client(Asking):
    cdef readonly object peer
    cdef readonly object entrance
    cdef readonly long requests
    cdef readonly int hand_overs
    cdef readonly bint aborted
    cdef object proxy
    cdef State state
    cdef double since  # anything moved, or the state began
    cdef Buffer inbox  # what came of requests that are not answered yet
    cdef Buffer outbox  # what the client does not take yet
    cdef Limits limits  # by which the request was read
    cdef bytes host
    cdef bytes routed_host
    cdef bytes lines  # for requests to `host`, from a client whose word does not count
    cdef str address

    cdef Way way
    cdef Link link
    cdef object server
    cdef object candidates  # further servers, should this one fail
    cdef bint reused
    cdef bint keep_alive
    cdef bint is_head
    cdef size_t request_size
    cdef size_t head_size
    cdef uint8_t request_id[LONGEST_ID]
    cdef size_t request_id_size
    cdef double begun
    cdef double first_byte
    cdef int status
    cdef int framing
    cdef bint server_keeps
    cdef int64_t left
    cdef int64_t sent
    cdef Chunks chunks

    cdef int receive(self) except -1
    cdef int consume(self) except -1
    cdef int begin(self, const RequestHead* head) except -1
    cdef int choose(self, str address) except -1
    cdef Link taken(self, Terms terms, object server, object upstream)
    cdef int ask(self, const RequestHead* head, bytes lines) except -1
    cdef int pieced_body(self, size_t head_size, iovec* head) except -1
    cdef int response_begins(self, const uint8_t* data, size_t size) except -1
    cdef int body(self, const uint8_t* data, size_t size, iovec* head) except -1
    cdef int chunked_body(self, const uint8_t* data, size_t size, iovec* head) except -1
    cdef int trailer(self, const uint8_t* data, size_t size) except -1
    cdef int finish(self, bint surplus) except -1
    cdef int put(self, iovec* parts, int count) except -1
    cdef int flush(self) except -1
    cdef int server_ended(self) except -1
    cdef int broken(self, str reason) except -1
    cdef int truncate(self, str reason) except -1
    cdef int give_up(self, str whose) except -1
    cdef int end_exchange(self, str ended) except -1
    cdef int gone(self) except -1
    cdef int dismiss(self) except -1
    cdef int close_gently(self) except -1
    cdef int hand_over(self) except -1
    cdef int hand_over_exchange(self) except -1
    cdef int uncount(self) except -1
    cdef int check_exchange(self, double now) except -1
