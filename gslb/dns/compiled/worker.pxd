"""One thread at one socket: receives and answers in batches, and puts what is left over into its ring."""

from libc.errno cimport EAGAIN, EBADF, EINTR, ENOTSOCK, errno
from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

from gslb.dns.compiled.answering cimport (
    MISS,
    ExchangeState,
    answer_packet,
    exchange_enter,
    exchange_leave,
)
from gslb.dns.compiled.atomic cimport count, load_acquire, load_relaxed, store_ordered
from gslb.dns.compiled.bell cimport Bell, poll, ring_bell
from gslb.dns.compiled.datagram cimport *
from gslb.dns.compiled.serving cimport Counters, Serving, Source

cdef extern from "<time.h>" nogil:
    int CLOCK_REALTIME
    int clock_gettime(int clock, timespec* moment)

cdef enum:
    BATCH = 64
    LARGEST = 4096
    # Buffers that are a multiple of the page size apart would compete for the same few cache lines.
    SPACING = LARGEST + 64
    RING = 1024  # misses of one thread that wait for Python: a power of two
    PAUSE_MS = 10  # a loop that cannot receive must not spin

# What Python is to answer.
cdef struct Passed:
    Route route
    uint16_t length
    uint8_t packet[LARGEST]

# What one thread owns. The ring has one producer, the thread, and one consumer, which is `Loop.take`.
cdef struct Worker:
    int socket
    int thread  # its number in the exchange
    bint wildcard
    bint busy  # a thread serves it
    int fault  # errno that ended it
    uint64_t stopping
    mmsghdr received[BATCH]
    iovec received_bytes[BATCH]
    Route routes[BATCH]
    uint8_t controls[BATCH][CONTROL_BYTES]
    mmsghdr answers[BATCH]
    iovec answer_bytes[BATCH]
    uint8_t queries[BATCH][SPACING]
    uint8_t written[BATCH][SPACING]
    uint64_t produced
    uint64_t padding[7]
    uint64_t consumed
    Passed ring[RING]


cdef inline void _prepare(Worker* worker, int which) noexcept nogil:
    """Make message `which` ready to receive; the kernel wrote over the lengths."""
    cdef msghdr* header = &worker.received[which].msg_hdr
    header.msg_name = &worker.routes[which].source
    header.msg_namelen = sizeof(sockaddr_storage)
    header.msg_iov = &worker.received_bytes[which]
    header.msg_iovlen = 1
    if worker.wildcard:
        header.msg_control = worker.controls[which]
        header.msg_controllen = CONTROL_BYTES


cdef inline bint read_source(const Route* route, Source* source) noexcept nogil:
    cdef const sockaddr_in* four
    cdef const sockaddr_in6* six
    if route.source.ss_family == AF_INET:
        four = <const sockaddr_in*>&route.source
        source.version = 4
        source.port = ntohs(four.sin_port)
        memcpy(source.address, &four.sin_addr, 4)
        return True
    if route.source.ss_family == AF_INET6:
        six = <const sockaddr_in6*>&route.source
        source.version = 6
        source.port = ntohs(six.sin6_port)
        memcpy(source.address, &six.sin6_addr, 16)
        return True
    return False


cdef inline void address_answer(msghdr* answer, Route* route, iovec* data) noexcept nogil:
    answer.msg_name = &route.source
    answer.msg_namelen = route.source_length
    answer.msg_iov = data
    answer.msg_iovlen = 1
    answer.msg_control = route.control if route.control_length else NULL
    answer.msg_controllen = route.control_length


cdef inline void _send(Worker* worker, int how_many) noexcept nogil:
    """One that cannot be sent is lost, as on the wire; the others are not to blame."""
    cdef int done = 0, sent
    while done < how_many:
        sent = sendmmsg(worker.socket, &worker.answers[done], how_many - done, MSG_DONTWAIT)
        if sent > 0:
            done += sent
        elif errno == EAGAIN:
            return  # to wait here would cost the queries that come meanwhile, too
        elif errno != EINTR:
            done += 1


cdef inline void _pass_on(Worker* worker, Counters* counters, int which, uint64_t* produced) noexcept nogil:
    """Put query `which` into the ring; nobody sees it before `produced` is published."""
    cdef Passed* place
    cdef unsigned int length = worker.received[which].msg_len
    if produced[0] - load_acquire(&worker.consumed) >= RING:
        count(&counters.overloads)
        return
    place = &worker.ring[produced[0] & (RING - 1)]
    place.route = worker.routes[which]
    place.length = <uint16_t>length
    memcpy(place.packet, worker.queries[which], length)
    produced[0] += 1


cdef inline bint _answer(Worker* worker, ExchangeState* exchange, Bell* bell, int received) noexcept nogil:
    """Answer a batch, and hand on what is left of it. False if nobody sent any of it, as of a socket that is
    shut down: that has messages without end, all of them empty."""
    cdef Serving* serving = exchange_enter(exchange, worker.thread)
    cdef Counters* counters = &exchange.counters[worker.thread]
    cdef uint64_t produced = load_relaxed(&worker.produced)
    cdef uint64_t before = produced
    cdef timespec moment
    cdef double now
    cdef Source source
    cdef Route* route
    cdef int which, length, answers = 0
    cdef bint is_from_anybody = False
    clock_gettime(CLOCK_REALTIME, &moment)
    now = <double>moment.tv_sec + <double>moment.tv_nsec / 1e9
    for which in range(received):
        route = &worker.routes[which]
        route.source_length = worker.received[which].msg_hdr.msg_namelen
        if not route.source_length or not read_source(route, &source):
            continue
        is_from_anybody = True
        route.control_length = 0
        if worker.wildcard:
            set_return(route, &worker.received[which].msg_hdr)
        if worker.received[which].msg_hdr.msg_flags & MSG_TRUNC:
            count(&counters.misses)
            length = MISS
        else:
            length = answer_packet(
                serving, counters, worker.queries[which], worker.received[which].msg_len,
                &source, now, worker.written[answers], LARGEST,
            )
        if length > 0:
            worker.answer_bytes[answers].iov_base = worker.written[answers]
            worker.answer_bytes[answers].iov_len = length
            address_answer(&worker.answers[answers].msg_hdr, route, &worker.answer_bytes[answers])
            answers += 1
        elif length == MISS:
            _pass_on(worker, counters, which, &produced)
    store_ordered(&worker.produced, produced)
    exchange_leave(exchange, worker.thread)
    _send(worker, answers)
    if produced != before:
        ring_bell(bell)  # which may be dear, so the answers go first
    for which in range(received):
        _prepare(worker, which)
    return is_from_anybody


cdef inline void serve_socket(Worker* worker, ExchangeState* exchange, Bell* bell) noexcept nogil:
    cdef int which, received
    for which in range(BATCH):
        worker.received_bytes[which].iov_base = worker.queries[which]
        worker.received_bytes[which].iov_len = LARGEST
        _prepare(worker, which)
    while not load_acquire(&worker.stopping):
        received = recvmmsg(worker.socket, worker.received, BATCH, MSG_WAITFORONE, NULL)
        if received > 0:
            if not _answer(worker, exchange, bell, received):
                poll(NULL, 0, PAUSE_MS)
        elif errno == EBADF or errno == ENOTSOCK:
            worker.fault = errno
            return
        elif errno != EAGAIN and errno != EINTR:
            poll(NULL, 0, PAUSE_MS)
