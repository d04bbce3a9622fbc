# cython: language_level=3, boundscheck=False, wraparound=False
"""Accepts connections for the compiled path; see listening.pyi."""

import os

from libc.errno cimport EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno

from edge.compiled.loop cimport Watched
from edge.compiled.sockets cimport *

cdef enum:
    AT_ONCE = 64  # before those who are here already have their turn
    HOST_ROOM = 128
    SERVICE_ROOM = 8


cdef class Listening(Watched):
    cdef object _socket
    cdef object _path
    cdef object _entrance

    def __cinit__(self, loop, listening, path, entrance):
        cdef int on = 1
        self.loop = loop
        self._socket = listening
        self._path = path
        self._entrance = entrance
        self.fd = listening.fileno()
        # Accepted connections have it from here.
        setsockopt(self.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
        self.watch(EPOLLIN)

    cdef int ready(self, uint32_t events) except -1:
        cdef sockaddr_storage source, destination
        cdef socklen_t length
        cdef int fd, count
        for count in range(AT_ONCE):
            length = sizeof(source)
            fd = accept4(self.fd, <sockaddr*>&source, &length, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                if errno == EAGAIN:
                    return 0
                if errno != EMFILE and errno != ENFILE and errno != ENOBUFS and errno != ENOMEM:
                    continue  # it is about that one connection (accept(2))
                self.watch(0)
                self._path.cannot_accept(self, os.strerror(errno))
                return 0
            came_from = _address(<sockaddr*>&source, length)
            length = sizeof(destination)
            getsockname(fd, <sockaddr*>&destination, &length)
            self._path.accepted(fd, self._entrance, came_from, _address(<sockaddr*>&destination, length))
            if self.fd < 0:
                return 0
        return 0

    cdef int failed(self) except -1:
        """One connection could not be taken; others can."""
        return 0

    def accept_again(self):
        self.watch(EPOLLIN)

    def close(self):
        if self.fd >= 0:
            self.release()
            self._socket.close()


cdef tuple _address(const sockaddr* address, socklen_t length):
    cdef char host[HOST_ROOM]
    cdef char service[SERVICE_ROOM]
    if getnameinfo(address, length, host, HOST_ROOM, service, SERVICE_ROOM, NI_NUMERICHOST | NI_NUMERICSERV):
        return ("", 0)
    return (host.decode("ascii"), int(service))
