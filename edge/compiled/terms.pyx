# cython: language_level=3, boundscheck=False, wraparound=False
"""One reading of the fleet's file as the compiled path goes by it; see terms.pyi."""

import socket
from struct import pack

from libc.stdint cimport int64_t


cdef class Way:
    """One route: how long anything may take (seconds, `total` negative for ever), and into which pool.

    plain: whether the compiled path may go there.
    """

    def __cinit__(self, Terms terms, route):
        timeouts = route.timeouts or terms.settings.timeouts
        retries = route.retries or terms.settings.retries
        most = route.max_body if route.max_body is not None else terms.settings.max_body
        self.route = route  # `ways` knows it by its identity, which must stay its own
        self.pool = pool = terms.by_name[route.pool]
        self.retry_on = retries.on or None
        self.most = -1 if most is None else most
        self.plain = pool.pool.tls is None and pool.pool.proxy_protocol is None
        self.total = -1.0 if timeouts.total is None else timeouts.total
        self.connect = timeouts.connect
        self.first_byte = timeouts.first_byte
        self.idle = timeouts.idle
        tally = terms.tallies.get(pool.name)
        if tally is None:
            tally = terms.tallies[pool.name] = Tally(pool.latency)
        self.tally = tally


cdef class Terms:
    def __cinit__(self, proxy):
        settings = proxy.settings
        self.find = proxy.routes.find
        self.settings = settings
        self.by_name = proxy.pools.by_name
        self.health_path = proxy.health_path
        self.via = proxy.via
        self.via_token = proxy.via_token
        self.region_mark = proxy.region_mark
        self.ways = {}
        self.tallies = {}
        self.addresses = {}
        self.max_requests = settings.max_requests_per_connection
        self.write_timeout = settings.write_timeout
        self.idle_timeout = settings.idle_timeout
        self.body_timeout = settings.body_timeout

    cdef Way way(self, bytes host, bytes path, bytes method):
        """The way of a request, None if there is no route for it."""
        route = self.find(host, path, method)
        if route is None:
            return None
        way = self.ways.get(id(route))
        if way is None:
            way = self.ways[id(route)] = Way(self, route)
        return <Way>way

    cdef bytes address(self, object server):
        """A server's address as the kernel wants it; None if a name has to be looked up first."""
        where = server.server.address
        found = self.addresses.get(where, self)
        if found is self:
            found = self.addresses[where] = _packed(where.host, where.port)
        return <bytes>found


def _packed(host, port):
    """A sockaddr_in or sockaddr_in6."""
    try:
        return pack("=H", socket.AF_INET) + pack("!H4s8x", port, socket.inet_pton(socket.AF_INET, host))
    except OSError:
        pass
    try:
        return pack("=H", socket.AF_INET6) + pack("!HI16sI", port, 0, socket.inet_pton(socket.AF_INET6, host), 0)
    except OSError:
        return None
