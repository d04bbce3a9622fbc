# cython: language_level=3, boundscheck=False, wraparound=False
"""One connection to one server; while nobody asks through it, whatever comes ends it. See link.pyi."""

from libc.errno cimport EINPROGRESS, errno
from libc.stdint cimport uint32_t

import os

from edge.compiled.buffer cimport append, drop, release_memory, waiting
from edge.compiled.sockets cimport *


cdef class Asking(Watched):
    """Who asks through a link: a client, as far as a link knows it."""

    cdef int connected(self) except -1:
        """A request may be written."""
        return 0

    cdef int not_connected(self, str reason, bint timed_out) except -1:
        """Nothing was sent; the link is closed."""
        return 0

    cdef int answered(self) except -1:
        """There is something to read from the server, or its end has come."""
        return 0


cdef class Link(Watched):
    def __cinit__(self, loop, server, bytes marks, double now):
        self.loop = loop
        self.server = server
        self.marks = marks
        self.opened_at = self.idle_since = now

    def __dealloc__(self):
        release_memory(&self.unsent)
        release_memory(&self.head)

    cdef int take(self, int fd) except -1:
        """Go on with a connection that somebody else has opened."""
        self.fd = fd
        return self.watch(EPOLLIN)

    cdef int begin(self, bytes address) except -1:
        """Connect, and tell `asking`. address: a sockaddr. Raises OSError when it fails at once."""
        cdef const sockaddr* where = <const sockaddr*><char*>address
        cdef int on = 1
        self.fd = socket(where.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        if self.fd < 0:
            raise OSError(errno, os.strerror(errno))
        setsockopt(self.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
        self.connecting = True
        if connect(self.fd, where, <socklen_t>len(address)) < 0 and errno != EINPROGRESS:
            raise OSError(errno, os.strerror(errno))
        self.watch(EPOLLOUT)
        return 0

    cdef int ready(self, uint32_t events) except -1:
        if self.connecting:
            return self.established()
        if self.asking is None:
            self.close()
            self.server.forget_idle(self)
            return 0
        if events & EPOLLOUT:
            self.flush()
        if events & (EPOLLIN | EPOLLHUP | EPOLLERR):
            return self.asking.answered()
        return 0

    cdef int established(self) except -1:
        cdef int error = 0
        cdef socklen_t size = sizeof(error)
        cdef Asking asking = self.asking
        getsockopt(self.fd, SOL_SOCKET, SO_ERROR, &error, &size)
        self.connecting = False
        if error:
            self.close()
            return asking.not_connected(os.strerror(error), False)
        self.server.opened += 1
        self.flush()
        return asking.connected()

    cdef int flush(self) except -1:
        """Send what waits of the request; should the connection be lost, reading will show it."""
        cdef ssize_t sent
        if self.unsent.size:
            sent = send(self.fd, waiting(&self.unsent), self.unsent.size, MSG_NOSIGNAL)
            if sent > 0:
                drop(&self.unsent, sent)
        return self.watch(EPOLLIN | EPOLLOUT if self.unsent.size else EPOLLIN)

    cdef int write(self, const uint8_t* data, size_t size) except -1:
        """A request; what the server does not take now goes out as it takes it. A loss shows when it is read."""
        cdef ssize_t sent = 0
        if not self.connecting:
            sent = send(self.fd, data, size, MSG_NOSIGNAL)
            if sent < 0:
                sent = 0
        if <size_t>sent < size:
            if not append(&self.unsent, data + sent, size - sent):
                raise MemoryError
            if not self.connecting:
                self.watch(EPOLLIN | EPOLLOUT)
        return 0

    cdef int pause(self) except -1:
        """Read nothing until `resume`: it is not watched at all, for the end of it could not be told once only."""
        if not self.paused:
            self.paused = True
            self.watch(0)
        return 0

    cdef int resume(self) except -1:
        if self.paused:
            self.paused = False
            self.watch(EPOLLIN | EPOLLOUT if self.unsent.size else EPOLLIN)
        return 0

    cdef int leave(self) except -1:
        """Nobody asks through it any more; it may be kept."""
        self.asking = None
        release_memory(&self.head)
        return self.resume()

    cdef int failed(self) except -1:
        cdef Asking asking = self.asking
        self.close()
        if asking is not None:
            return asking.failed()
        return 0

    @property
    def usable(self):
        return self.fd >= 0

    def surrender(self):
        """Give the descriptor away; nobody asks through it. -1: it is closed."""
        return self.release() if self.fd >= 0 else -1

    def close(self):
        self.asking = None
        self.connecting = False
        release_memory(&self.unsent)
        release_memory(&self.head)
        self.close_socket()
