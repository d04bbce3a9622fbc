# cython: language_level=3, boundscheck=False, wraparound=False
"""One reading of the fleet's file as the compiled path goes by it; see terms.pyi."""

import socket
from struct import pack

from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy

from gslb.balancing import BalancingKey, KeyKind

cdef enum:
    MOST_KEY = 256
    MOST_REMEMBERED = 4096  # hosts and beginnings of paths, which may be anybody's inventions


cdef class Way:
    """One route: how long anything may take (seconds, `total` negative for ever), and into which pool.

    plain: whether the compiled path may go there. timed: whether servers are told how long they took.
    loaded: whether they tell how loaded they are.
    service: that requests are for whose host is its name. concurrency, rates: what decides how many requests may go there; None: as many as come.
    """

    def __cinit__(self, Terms terms, route, service):
        timeouts = route.timeouts or terms.settings.timeouts
        retries = route.retries or terms.settings.retries
        most = route.max_body if route.max_body is not None else terms.settings.max_body
        self.route = route  # `ways` knows it by its identity, which must stay its own
        self.pool = pool = terms.by_name[route.pool]
        self.waiting = pool.waiting.deadlines
        self.retry_on = retries.on or None
        self.most = -1 if most is None else most
        self.plain = pool.pool.tls is None and pool.pool.proxy_protocol is None
        # Another key than the client's address is found in a head that was read whole.
        self.plain = self.plain and pool.pool.key.kind == KeyKind.ADDRESS
        self.timed = pool.method.timed
        self.loaded = pool.method.loaded
        # A cookie, a copy or a second try are for those who have the whole request.
        self.plain = self.plain and pool.pool.sticky is None and route.hedge is None and route.mirror is None
        self.concurrency = pool.concurrency if pool.concurrency.bounded else None
        self.priority = route.priority
        self.rates = terms.rates.get(route)
        if self.rates is not None and route.rate_limit.key != BalancingKey():
            self.plain = False
        self.total = -1.0 if timeouts.total is None else timeouts.total
        self.connect = timeouts.connect
        self.first_byte = timeouts.first_byte
        self.idle = timeouts.idle
        self.tally = terms.tally(pool.name, pool.latency)
        self.service = service
        self.service_tally = None if service is None else terms.tally(service, service.latency)


cdef class Terms:
    def __cinit__(self, proxy):
        settings = proxy.settings
        self.find = proxy.routes.find
        self.depth = proxy.routes.depth
        self.remembered = {}
        self.settings = settings
        self.by_name = proxy.pools.by_name
        self.rates = proxy.rates
        self.services = proxy.pools.services
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

    cdef Way way(
        self, bytes host, const char* path, size_t path_size, const char* method, size_t method_size
    ):
        """The way of a request, None if it is not for here. host, path: normalised.

        No route looks at more than `depth` segments of a path, so that a few beginnings of paths stand for
        all there are.
        """
        cdef char key[MOST_KEY]
        cdef size_t host_size = len(host), looked_at = 0, size
        cdef int slashes = 0
        cdef bytes name
        while looked_at < path_size:
            if path[looked_at] == c"/":
                slashes += 1
                if slashes == self.depth:
                    break
            looked_at += 1
        if path_size == <size_t>len(self.health_path) and memcmp(path, <char*>self.health_path, path_size) == 0:
            return None
        size = method_size + 1 + host_size + looked_at
        if size > MOST_KEY:
            return self.found(host, path[:path_size], method[:method_size])
        memcpy(key, method, method_size)
        key[method_size] = c" "
        memcpy(key + method_size + 1, <char*>host, host_size)
        memcpy(key + method_size + 1 + host_size, path, looked_at)
        name = key[:size]
        way = self.remembered.get(name)
        if way is None:
            way = self.found(host, path[:path_size], method[:method_size])
            if way is not None:
                if len(self.remembered) >= MOST_REMEMBERED:
                    self.remembered.clear()
                self.remembered[name] = way
        return <Way>way

    cdef Way found(self, bytes host, bytes path, bytes method):
        route = self.find(host, path, method)
        if route is None:
            return None
        service = self.services.find(host)
        # Both are kept by the fleet that these terms are of, and so are their identities.
        key = (id(route), id(service))
        way = self.ways.get(key)
        if way is None:
            way = self.ways[key] = Way(self, route, service)
        return <Way>way

    cdef Tally tally(self, object name, object latency):
        """One for each latency, however many ways lead there."""
        tally = self.tallies.get(name)
        if tally is None:
            tally = self.tallies[name] = Tally(latency)
        return <Tally>tally

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
