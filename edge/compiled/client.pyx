# cython: language_level=3, boundscheck=False, wraparound=False
"""Takes a client's plain requests to a server and the responses back; see client.pyi.

One request is exchanged at a time, as in edge.proxy.downstream and edge.proxy.exchange, and in the same order
of events. Whatever is not plain is handed to those, at the latest before a response begins; from there on all
that can go wrong ends the connection.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdio cimport snprintf
from libc.string cimport memcmp, memcpy, memset

from edge.compiled.buffer cimport Buffer, append, drop, release_memory, waiting
from edge.compiled.chunks cimport TRAILER, begin_chunks, read_chunks
from edge.compiled.identifiers cimport hex_id
from edge.compiled.loop cimport Loop, MOST_HEAD, ROOM
from edge.compiled.octets cimport MORE, READ, UNUSUAL, Span
from edge.compiled.request cimport RequestHead, read_request, request_room, write_request
from edge.compiled.response cimport CHUNKED, LENGTH, ResponseHead, read_response, write_response
from edge.compiled.sockets cimport *

from edge.http1.errors import RESPONSE, ProtocolError
from edge.http1.fields import read_trailers
from edge.http1.writing import last_chunk
from edge.orca import load_told
from edge.path import PathError, normalise_path
from edge.proxy.handed_over import Unanswered
from edge.rate_limit import client_of
from edge.route import normalise_host

cdef enum:
    PIECES = 64  # of a chunked body that are passed on as one
    READS = 8  # of one server before others have their turn
    MARKS_AT = 98304  # in the outbox; before it, a head
    NEW_ID = 32

cdef double LINGER = 2.0  # seconds; as edge.proxy.downstream's
cdef double PATIENCE = 0.25  # seconds that a request in pieces is waited for here
cdef object CONNECTING_TIMED_OUT = "timed out"


cdef class Client(Asking):
    def __cinit__(self, loop, int fd, proxy, entrance, peer, long requests=0, int hand_overs=0):
        self.loop = loop
        self.fd = fd
        self.proxy = proxy
        self.entrance = entrance
        self.peer = peer
        self.requests = requests
        self.hand_overs = hand_overs
        self.state = READING
        self.since = monotonic()

    def __dealloc__(self):
        release_memory(&self.inbox)
        release_memory(&self.outbox)

    def begin_serving(self):
        self.watch(EPOLLIN | EPOLLRDHUP)

    def turn_away(self, bytes response):
        """It may not be here: say so, if there is anything to say, and part."""
        cdef iovec part
        if response is None:
            self.dismiss()
            return
        self.watch(EPOLLIN | EPOLLRDHUP)
        part.iov_base = <char*>response
        part.iov_len = len(response)
        if self.put(&part, 1):
            self.close_gently()

    # What the kernel says.

    cdef int ready(self, uint32_t events) except -1:
        if events & (EPOLLHUP | EPOLLERR):
            return self.gone()
        if events & EPOLLOUT:
            self.flush()
        if events & EPOLLIN and self.fd >= 0:
            self.receive()
        if events & EPOLLRDHUP and self.fd >= 0:
            if self.server is None and self.outbox.size:
                # It asks no more, but may still take the end of its response.
                self.state = LINGERING
                return self.watch(EPOLLOUT)
            return self.gone()
        return 0

    cdef int receive(self) except -1:
        cdef ssize_t count
        if self.state != READING and self.state != LINGERING or self.outbox.size and self.state == READING:
            # The next request's turn has not come; the client's end is still told of.
            return self.watch(self.interest & ~EPOLLIN)
        count = recv(self.fd, self.loop.inbox, MOST_HEAD, 0)
        if count < 0:
            return 0 if errno == EAGAIN or errno == EINTR else self.gone()
        if count == 0:
            return self.gone()
        if self.state == LINGERING:
            return 0
        if self.inbox.size == 0:
            self.since = self.loop.now
        if not append(&self.inbox, self.loop.inbox, count):
            raise MemoryError
        return self.consume()

    # The request.

    cdef int consume(self) except -1:
        """Go on with what came of the next request."""
        cdef RequestHead head
        cdef size_t whole
        cdef int outcome
        self.limits = self.loop.limits
        outcome = read_request(waiting(&self.inbox), self.inbox.size, &self.limits, &head)
        if outcome == READ:
            whole = head.size + (head.length if head.length > 0 else 0)
            if whole > MOST_HEAD:
                outcome = UNUSUAL
            elif self.inbox.size < whole:
                outcome = MORE
            else:
                self.request_size = whole
                return self.begin(&head)
        if outcome == MORE and self.inbox.size < MOST_HEAD:
            return 0
        return self.hand_over()

    cdef int begin(self, const RequestHead* head) except -1:
        """Find where it goes, and go there; or leave it to those who can say what is wrong with it."""
        cdef Terms terms = <Terms>self.loop.terms
        cdef const char* data = <const char*>waiting(&self.inbox)
        cdef Way way
        cdef bytes path, lines
        cdef str address
        if head.host.size != <size_t>len(self.host or b"") or self.host is None or memcmp(
            <const char*>self.host, data + head.host.at, head.host.size
        ):
            self.host = data[head.host.at:head.host.at + head.host.size]
            self.routed_host = normalise_host(self.host)
            self.lines = None
        if head.via.size and terms.via_token in data[head.via.at:head.via.at + head.via.size].lower() + b",":
            return self.hand_over()
        if head.plain_path:
            way = terms.way(
                self.routed_host, data + head.path.at, head.path.size, data + head.method.at, head.method.size
            )
        else:
            try:
                path = normalise_path(data[head.path.at:head.path.at + head.path.size])
            except PathError:
                return self.hand_over()
            way = terms.way(self.routed_host, path, len(path), data + head.method.at, head.method.size)
        if way is None or not way.plain or 0 <= way.most < head.length or way.waiting:
            return self.hand_over()
        introduction = self.peer.introduction
        if introduction.peer_is_trusted:
            claims = _claims(data, head)
            origin = introduction.origin(claims)
            lines = introduction.lines(origin, self.host, claims)
            address = origin.address
        else:
            if self.lines is None:
                origin = introduction.origin(())
                self.lines = introduction.lines(origin, self.host, ())
                self.address = origin.address
            lines = self.lines
            address = self.address
        if way.concurrency is not None and not way.concurrency.admits(way.pool.own, way.priority):
            return self.hand_over()
        if way.rates is not None and way.rates.take(client_of(address), monotonic()) > 0:
            return self.hand_over()
        self.way = way
        if not self.choose(address):
            self.way = None
            if way.rates is not None:
                way.rates.give_back(client_of(address))  # it is counted where it is handed over to
            return self.hand_over()
        self.requests += 1
        self.loop.requests += 1
        self.loop.in_flight += 1
        self.begun = monotonic()
        self.since = self.begun
        self.first_byte = -1.0
        self.status = 0
        self.sent = 0
        self.is_head = head.is_head
        self.head_size = head.size
        self.keep_alive = head.keep_alive and self.requests < terms.max_requests
        if head.length > 0:
            self.loop.bytes_in += head.length
        if head.request_id.size:
            self.request_id_size = head.request_id.size
            memcpy(self.request_id, data + head.request_id.at, head.request_id.size)
        else:
            self.request_id_size = NEW_ID
            hex_id(&self.loop.random, self.request_id)
        return self.ask(head, lines)

    cdef int choose(self, str address) except -1:
        """A server that has room, entered, and a link to it; 0 if there is none that can be had here."""
        cdef Terms terms = <Terms>self.loop.terms
        cdef Link link = None
        cdef list idle
        cdef bytes where
        candidates = self.way.pool.candidates(address)
        for server in candidates:
            if server.has_room:
                break
        else:
            return 0
        idle = server.idle
        while idle and link is None:
            waiting_one = idle.pop()
            if type(waiting_one) is Link:
                if (<Link>waiting_one).fd >= 0:
                    link = <Link>waiting_one
            else:
                link = self.taken(terms, server, waiting_one)
        self.reused = link is not None
        if link is None:
            where = terms.address(server)
            if where is None:
                return 0
            link = Link(self.loop, server, _marks(terms, server, self.entrance), self.loop.now)
            try:
                link.begin(where)
            except OSError:
                link.close()
                return 0
        server.enter()
        self.server = server
        self.candidates = candidates
        self.link = link
        link.asking = self
        self.state = CONNECTING if link.connecting else WAITING
        return 1

    cdef Link taken(self, Terms terms, server, upstream):
        """An idle connection of the general path's; None if it is of no use any more."""
        cdef Link link
        fd = upstream.surrender()
        if fd < 0:
            return None
        link = Link(self.loop, server, _marks(terms, server, self.entrance), upstream.opened_at)
        link.take(fd)
        return link

    cdef int ask(self, const RequestHead* head, bytes lines) except -1:
        """Write the request to the server."""
        cdef Terms terms = <Terms>self.loop.terms
        cdef uint8_t* into = self.loop.outbox
        cdef const uint8_t* data = waiting(&self.inbox)
        cdef size_t size
        if request_room(head, len(lines) + len(terms.via)) + MOST_HEAD > ROOM:
            raise ValueError("a head that has no room")
        size = write_request(
            into, data, head, self.request_id, self.request_id_size,
            <const uint8_t*><char*>lines, len(lines), <const uint8_t*><char*>terms.via, len(terms.via),
            &self.loop.random,
        )
        memcpy(into + size, data + head.size, self.request_size - head.size)
        return self.link.write(into, size + self.request_size - head.size)

    cdef int connected(self) except -1:
        self.state = WAITING
        self.since = self.loop.now
        return 0

    cdef int not_connected(self, str reason, bint timed_out) except -1:
        """Another server may do: that is looked for where there is more patience."""
        cdef bytes data = (<char*>waiting(&self.inbox))[:self.inbox.size]
        route, pool = self.way.route, self.way.pool
        server, self.server, self.link = self.server, None, None
        candidates, self.candidates = self.candidates, None
        release_memory(&self.inbox)
        self.uncount()
        self.state = LEFT
        unanswered = Unanswered(
            self.request_id[:self.request_id_size], self.begun, self.since, route, pool, server,
            candidates, reason=reason, timed_out=timed_out,
        )
        self.loop.path.take_unreached(self, self.release(), data, unanswered)
        return 0

    # The response.

    cdef int answered(self) except -1:
        cdef Link link = self.link
        cdef ssize_t count
        cdef int reads
        for reads in range(READS):
            count = recv(link.fd, self.loop.inbox, ROOM, 0)
            if count < 0 and (errno == EAGAIN or errno == EINTR):
                return 0
            if count <= 0:
                return self.server_ended()
            self.since = self.loop.now
            if self.state == WAITING:
                self.response_begins(self.loop.inbox, count)
            elif self.state == TRAILING:
                self.trailer(self.loop.inbox, count)
            else:
                self.body(self.loop.inbox, count, NULL)
            if self.link is not link or link.paused or count < ROOM:
                return 0
        return 0

    cdef int response_begins(self, const uint8_t* data, size_t size) except -1:
        cdef Link link = self.link
        cdef Loop loop = self.loop
        cdef ResponseHead head
        cdef int outcome
        cdef size_t marks
        cdef iovec part
        cdef bint pieced = link.head.size > 0
        if pieced:
            if not append(&link.head, data, size):
                raise MemoryError
            data = waiting(&link.head)
            size = link.head.size
        outcome = read_response(data, size, self.is_head, &loop.limits, &head)
        if outcome == READ and self.way.retry_on is not None and head.status in self.way.retry_on:
            outcome = UNUSUAL
        if outcome != READ:
            if not pieced and not append(&link.head, data, size):
                raise MemoryError
            if outcome == MORE and size < MOST_HEAD:
                return 0
            return self.hand_over_exchange()
        self.state = RESPONDING
        self.status = head.status
        self.first_byte = monotonic()
        self.framing = head.framing
        self.left = head.length if head.framing == LENGTH else 0
        self.server_keeps = head.keep_alive and not head.in_doubt
        if head.framing == CHUNKED:
            begin_chunks(&self.chunks)
        loop.responded(head.status)
        self.way.tally.add(loop, self.first_byte - self.begun)
        if self.way.service_tally is not None:
            self.way.service_tally.add(loop, self.first_byte - self.begun)
            if head.status >= 500:
                self.way.service.errors += 1
        if head.status >= 500:
            self.server.failed(self.first_byte - self.begun, answered=True)
        else:
            if self.way.timed:
                self.server.answered(self.first_byte - self.begun)
            if self.way.concurrency is not None:
                self.way.concurrency.sample(
                    self.first_byte - self.begun, self.way.pool.own, self.first_byte
                )
        if self.way.loaded:
            told = load_told((<const char*>data)[:head.size])
            if told is not None:
                self.server.load = told
        if self.proxy.draining:
            self.keep_alive = False
        marks = <size_t>snprintf(
            <char*>loop.outbox + MARKS_AT, ROOM - MARKS_AT, "X-Request-Id: %.*s\r\n",
            <int>self.request_id_size, <char*>self.request_id,
        )
        memcpy(loop.outbox + MARKS_AT + marks, <char*>link.marks, len(link.marks))
        marks += len(link.marks)
        part.iov_base = loop.outbox
        part.iov_len = write_response(
            loop.outbox, data, &head, self.keep_alive,
            <const uint8_t*><char*>loop.date, len(loop.date), loop.outbox + MARKS_AT, marks,
        )
        if pieced:
            # The body's first bytes are passed on from where they are, which must not change meanwhile.
            self.pieced_body(head.size, &part)
            return 0
        return self.body(data + head.size, size - head.size, &part)

    cdef int pieced_body(self, size_t head_size, iovec* head) except -1:
        cdef bytes rest = (<char*>waiting(&self.link.head))[head_size:self.link.head.size]
        release_memory(&self.link.head)
        return self.body(<const uint8_t*><char*>rest, len(rest), head)

    cdef int body(self, const uint8_t* data, size_t size, iovec* head) except -1:
        """Pass on what came of the body, behind the head if there is one to be sent."""
        cdef iovec parts[2]
        cdef int count = 0
        cdef size_t take
        if self.framing == CHUNKED:
            return self.chunked_body(data, size, head)
        take = size if <int64_t>size < self.left else self.left
        if head is not NULL:
            parts[0] = head[0]
            count = 1
        if take:
            parts[count].iov_base = <void*>data
            parts[count].iov_len = take
            count += 1
            self.left -= take
            self.sent += take
            self.loop.bytes_out += take
        if count and not self.put(parts, count):
            return 0
        if self.left == 0:
            return self.finish(size > take)
        return 0

    cdef int chunked_body(self, const uint8_t* data, size_t size, iovec* head) except -1:
        cdef iovec parts[PIECES + 4]
        cdef Span pieces[PIECES]
        cdef char size_line[24]
        cdef int count, outcome, at, filled = 0
        cdef size_t used, total
        if head is not NULL:
            parts[0] = head[0]
            filled = 1
        while True:
            outcome = read_chunks(&self.chunks, data, size, _CHUNK_LINE, pieces, PIECES, &count, &used)
            total = 0
            if count:
                filled += 1  # for the size
                for at in range(count):
                    parts[filled].iov_base = <void*>(data + pieces[at].at)
                    parts[filled].iov_len = pieces[at].size
                    total += pieces[at].size
                    filled += 1
                parts[filled - count - 1].iov_base = size_line
                parts[filled - count - 1].iov_len = snprintf(size_line, sizeof(size_line), "%zx\r\n", total)
                parts[filled].iov_base = <char*>"\r\n"
                parts[filled].iov_len = 2
                filled += 1
                self.sent += total
                self.loop.bytes_out += total
            if outcome == READ:
                parts[filled].iov_base = <char*>"0\r\n\r\n"
                parts[filled].iov_len = 5
                filled += 1
            if filled and not self.put(parts, filled):
                return 0
            filled = 0
            data += used
            size -= used
            if outcome == READ:
                return self.finish(size > 0)
            if outcome == TRAILER:
                self.state = TRAILING
                return self.trailer(data, size)
            if outcome != MORE:
                return self.broken("the response has a malformed chunk")
            if size == 0 or count < PIECES:
                return 0

    cdef int trailer(self, const uint8_t* data, size_t size) except -1:
        """What follows the last chunk: read whole, and by the same rules as everywhere."""
        cdef Buffer* kept = &self.link.head
        cdef bytes section, rest, written
        cdef iovec part
        if not append(kept, data, size):
            raise MemoryError
        section, end, rest = (<char*>waiting(kept))[:kept.size].partition(b"\r\n\r\n")
        if not end or len(section) + 4 > self.proxy.limits.trailer:
            if kept.size >= self.proxy.limits.trailer:
                return self.broken("the response's trailer is too long")
            return 0
        release_memory(kept)
        try:
            trailers = read_trailers(RESPONSE, section, self.proxy.limits.fields)
        except ProtocolError as error:
            return self.broken(error.reason)
        written = last_chunk(trailers)
        part.iov_base = <char*>written
        part.iov_len = len(written)
        if not self.put(&part, 1):
            return 0
        return self.finish(len(rest) > 0)

    cdef int finish(self, bint surplus) except -1:
        """The response is complete. surplus: the server has sent more than that."""
        cdef Link link = self.link
        server = self.server
        self.link = None
        if self.server_keeps and not surplus and link.unsent.size == 0:
            link.leave()
            server.keep_idle(link, self.loop.now)
        else:
            link.close()
        if self.status < 500 and server.standing.failures:
            server.completed()
        self.end_exchange("complete")
        drop(&self.inbox, self.request_size)
        self.state = READING
        self.since = self.loop.now
        if not self.keep_alive or (self.proxy.leaving and self.inbox.size == 0):
            return self.close_gently()
        if self.outbox.size:
            return 0  # the next request's turn comes when this response has gone out
        if not self.interest & EPOLLIN:
            self.watch(self.interest | EPOLLIN)
        if self.inbox.size:
            return self.consume()
        return 0

    # Writing to the client.

    cdef int put(self, iovec* parts, int count) except -1:
        """Send, or keep what is not taken and hold the server back meanwhile. 0: the client is gone."""
        cdef msghdr message
        cdef ssize_t sent = 0
        cdef int at
        if self.outbox.size == 0:
            message = _message(parts, count)
            sent = sendmsg(self.fd, &message, MSG_NOSIGNAL)
            if sent < 0:
                if errno != EAGAIN and errno != EINTR:
                    self.gone()
                    return 0
                sent = 0
        for at in range(count):
            if <size_t>sent >= parts[at].iov_len:
                sent -= parts[at].iov_len
                continue
            if not append(&self.outbox, <uint8_t*>parts[at].iov_base + sent, parts[at].iov_len - sent):
                raise MemoryError
            sent = 0
        if self.outbox.size:
            self.watch(self.interest | EPOLLOUT)
            if self.link is not None:
                self.link.pause()
        return 1

    cdef int flush(self) except -1:
        """The client takes data again."""
        cdef ssize_t sent
        if self.outbox.size:
            sent = send(self.fd, waiting(&self.outbox), self.outbox.size, MSG_NOSIGNAL)
            if sent < 0:
                return 0 if errno == EAGAIN or errno == EINTR else self.gone()
            drop(&self.outbox, sent)
            self.since = self.loop.now
            if self.outbox.size:
                return 0
        release_memory(&self.outbox)
        if self.interest != EPOLLOUT:
            self.watch(self.interest & ~EPOLLOUT)
        if self.link is not None:
            self.link.resume()
        elif self.state == LINGERING:
            if not self.interest & EPOLLRDHUP:
                return self.dismiss()  # the client has said that nothing more will come
            shutdown(self.fd, SHUT_WR)
        elif self.state == READING:
            self.watch(self.interest | EPOLLIN)
            if self.inbox.size:
                return self.consume()
            if self.proxy.leaving:
                return self.close_gently()
        return 0

    # What can go wrong, and how it ends.

    cdef int server_ended(self) except -1:
        if self.state == WAITING:
            return self.hand_over_exchange()
        return self.broken("the server closed the connection in the middle of its response")

    cdef int broken(self, str reason) except -1:
        """The response cannot be completed, and it is the server's fault."""
        self.server.failed(0.0)
        return self.truncate(reason)

    cdef int truncate(self, str reason) except -1:
        """Break the client's connection, so that it cannot take half a response for a whole one."""
        self.proxy.counters.aborted_by_server += 1
        self.proxy.complain("response broken off", server=self.server.server.target, reason=reason)
        return self.give_up("server")

    cdef int give_up(self, str whose) except -1:
        cdef Link link = self.link
        self.link = None
        if link is not None:
            link.close()
        self.end_exchange(whose)
        return self.dismiss()

    cdef int end_exchange(self, str ended) except -1:
        """Leave the server, close the account. Runs once for each request."""
        server, self.server = self.server, None
        self.candidates = None
        pool = self.way.pool
        self.loop.in_flight -= 1
        self.way = None
        # Before anything that could fail: a request that stayed there would take somebody's place for ever.
        server.leave()
        if pool.waiting:
            pool.waiting.serve()
        if self.proxy.access_log is not None:
            self._log(server, pool, ended)
        return 0

    def _log(self, server, pool, ended):
        cdef RequestHead head
        cdef const char* data = <const char*>waiting(&self.inbox)
        cdef double now = monotonic()
        if read_request(waiting(&self.inbox), self.inbox.size, &self.limits, &head) != READ:
            raise ValueError("a request that cannot be read a second time")
        self.loop.path.log(
            self.peer, _claims(data, &head),
            method=data[head.method.at:head.method.at + head.method.size],
            target=data[head.target.at:head.target.at + head.target.size],
            host=data[head.host.at:head.host.at + head.host.size],
            referer=_value(data, head.referer), agent=_value(data, head.user_agent),
            authorization=_value(data, head.authorization),
            request_id=self.request_id[:self.request_id_size],
            status=self.status, sent=self.sent, received=self.request_size - self.head_size,
            first_byte=None if self.first_byte < 0 else self.first_byte - self.begun, total=now - self.begun,
            pool=pool.name, server=server.name, ended=ended,
        )

    cdef int gone(self) except -1:
        """The client has left, and with it whom a server works for."""
        if self.server is not None:
            self.proxy.counters.aborted_by_client += 1
            return self.give_up("client")
        return self.dismiss()

    cdef int failed(self) except -1:
        if self.server is not None:
            return self.give_up("server")
        return self.dismiss()

    cdef int dismiss(self) except -1:
        self.state = LEFT
        release_memory(&self.inbox)
        release_memory(&self.outbox)
        self.close_socket()
        self.proxy.forget(self)
        return 0

    cdef int close_gently(self) except -1:
        """Say that nothing more is coming, and read on for a while for the sake of the last response."""
        self.state = LINGERING
        self.since = self.loop.now
        release_memory(&self.inbox)
        if self.outbox.size == 0:
            shutdown(self.fd, SHUT_WR)
        return self.watch(self.interest | EPOLLIN)

    # Handing over.

    cdef int uncount(self) except -1:
        """Whoever takes the request over counts it on this connection, and nowhere else, again."""
        self.requests -= 1
        self.way = None
        return 0

    cdef int hand_over(self) except -1:
        """A request that is not begun."""
        cdef bytes data = (<char*>waiting(&self.inbox))[:self.inbox.size]
        release_memory(&self.inbox)
        self.state = LEFT
        self.hand_overs += 1
        self.loop.path.take_request(self, self.release(), data)
        return 0

    cdef int hand_over_exchange(self) except -1:
        """A request that a server has got, or gets just now, and whose response has not begun here."""
        cdef Link link = self.link
        cdef bytes data = (<char*>waiting(&self.inbox))[:self.inbox.size]
        cdef bytes response = (<char*>waiting(&link.head))[:link.head.size]
        cdef bytes unsent = (<char*>waiting(&link.unsent))[:link.unsent.size]
        route, pool = self.way.route, self.way.pool
        server, self.server, self.link = self.server, None, None
        candidates, self.candidates = self.candidates, None
        release_memory(&self.inbox)
        self.uncount()
        self.state = LEFT
        self.hand_overs += 1
        link.asking = None
        unanswered = Unanswered(
            self.request_id[:self.request_id_size], self.begun, self.since, route, pool, server,
            candidates, reused=self.reused, unsent=unsent, response=response,
        )
        self.loop.path.take_exchange(
            self, self.release(), data, unanswered, link.release(), link.opened_at
        )
        return 0

    # The proxy's side.

    @property
    def asked(self):
        return self.requests > 0

    @property
    def busy(self):
        return (self.fd < 0 or self.server is not None or self.outbox.size > 0
                or (self.inbox.size > 0 and self.state != LINGERING))

    @property
    def write_paused(self):
        return self.outbox.size > 0

    @property
    def held(self):
        return self.inbox.size + self.outbox.size + (self.link.unsent.size if self.link is not None else 0)

    def close_if_idle(self):
        self.loop.now = monotonic()
        if self.fd >= 0 and not self.busy and self.state != LINGERING:
            self.dismiss()

    def abort(self, reset=False):
        """Break the connection."""
        if self.fd < 0:
            self.aborted = True  # whoever takes it over breaks it
            return
        if self.server is not None:
            self.proxy.counters.aborted_by_client += 1
            self.give_up("client")
        else:
            self.dismiss()
        self.loop.settle()

    def check(self, double now):
        """Enforce the time limits. now: loop time."""
        cdef Terms terms = <Terms>self.loop.terms
        cdef double waited = now - self.since
        if self.fd < 0:
            return
        self.loop.now = now
        if self.server is not None:
            self.check_exchange(now)
        elif self.outbox.size:
            if waited > terms.write_timeout:
                self.dismiss()
        elif self.state == LINGERING:
            if waited > LINGER:
                self.dismiss()
        elif self.inbox.size:
            if waited > PATIENCE:
                self.hand_over()
        elif waited > terms.idle_timeout:
            self.dismiss()
        elif self.inbox.room:
            release_memory(&self.inbox)
        if self.fd < 0:
            self.loop.settle()

    cdef int check_exchange(self, double now) except -1:
        """As edge.proxy.patience decides; before the response whoever takes it over is to say what is wrong."""
        cdef Terms terms = <Terms>self.loop.terms
        cdef Way way = self.way
        cdef Link link = self.link
        cdef double silent = now - self.since
        cdef bint too_old = way.total >= 0 and now - self.begun > way.total
        if self.state == CONNECTING:
            if silent > way.connect or too_old:
                self.link = None
                link.close()
                return self.not_connected(CONNECTING_TIMED_OUT, True)
        elif self.state == WAITING:
            if too_old or silent > (way.idle if link.unsent.size else way.first_byte):
                return self.hand_over_exchange()
        elif too_old:
            return self.truncate("was not done in time")
        elif self.outbox.size:
            if silent > terms.write_timeout:
                return self.gone()
        elif silent > (max(way.idle, terms.body_timeout) if link.unsent.size else way.idle):
            return self.truncate("the server stopped in the middle of its response")
        return 0


cdef size_t _CHUNK_LINE = 256


cdef inline msghdr _message(iovec* parts, int count) noexcept:
    cdef msghdr message
    memset(&message, 0, sizeof(message))
    message.msg_iov = parts
    message.msg_iovlen = count
    return message


cdef _value(const char* data, Span span):
    return data[span.at:span.at + span.size] if span.at else None  # nothing begins with a field's value


cdef list _claims(const char* data, const RequestHead* head):
    """What the request says of its client, as fields."""
    cdef list claims = []
    cdef uint32_t at
    cdef Span name, value
    for at in range(head.claims):
        name, value = head.claim_name[at], head.claim_value[at]
        claims.append((data[name.at:name.at + name.size], data[value.at:value.at + value.size]))
    return claims


cdef bytes _marks(Terms terms, server, entrance):
    """The fields that tell a client where it was sent."""
    return b"%bX-GSLB-Server: %b\r\n%b" % (terms.region_mark, server.name.encode(), entrance.marks)
