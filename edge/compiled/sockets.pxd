"""The kernel's sockets and its list of those that have something to say."""

from libc.stdint cimport uint16_t, uint32_t, uint8_t

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    cdef struct sockaddr:
        unsigned short sa_family
    cdef struct sockaddr_storage:
        unsigned short ss_family
    int AF_INET
    int AF_INET6
    int SOCK_STREAM
    int SOCK_NONBLOCK
    int SOCK_CLOEXEC
    int SOL_SOCKET
    int SO_ERROR
    int MSG_NOSIGNAL
    int SHUT_WR
    int socket(int family, int kind, int protocol)
    int accept4(int listening, sockaddr* address, socklen_t* length, int flags)
    int connect(int descriptor, const sockaddr* address, socklen_t length)
    int shutdown(int descriptor, int how)
    int getsockname(int descriptor, sockaddr* address, socklen_t* length)
    int getsockopt(int descriptor, int level, int name, void* value, socklen_t* length)
    int setsockopt(int descriptor, int level, int name, const void* value, socklen_t length)
    ssize_t recv(int descriptor, void* into, size_t size, int flags)
    ssize_t send(int descriptor, const void* data, size_t size, int flags)
    cdef struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    ssize_t sendmsg(int descriptor, const msghdr* message, int flags)

cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "<netinet/in.h>" nogil:
    int IPPROTO_TCP
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct in6_addr:
        uint8_t s6_addr[16]
    cdef struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    uint16_t htons(uint16_t port)
    uint16_t ntohs(uint16_t port)

cdef extern from "<netinet/tcp.h>" nogil:
    int TCP_NODELAY

cdef extern from "<netdb.h>" nogil:
    int NI_NUMERICHOST
    int NI_NUMERICSERV
    int getnameinfo(
        const sockaddr* address, socklen_t length, char* host, socklen_t host_room,
        char* service, socklen_t service_room, int flags
    )

cdef extern from "<arpa/inet.h>" nogil:
    int inet_pton(int family, const char* text, void* address)

cdef extern from "<unistd.h>" nogil:
    int close(int descriptor)

cdef extern from "<sys/epoll.h>" nogil:
    int EPOLL_CLOEXEC
    int EPOLL_CTL_ADD
    int EPOLL_CTL_MOD
    int EPOLL_CTL_DEL
    uint32_t EPOLLIN
    uint32_t EPOLLOUT
    uint32_t EPOLLERR
    uint32_t EPOLLHUP
    uint32_t EPOLLRDHUP
    ctypedef union epoll_data_t:
        void* ptr
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int descriptor, epoll_event* event)
    int epoll_wait(int epoll, epoll_event* events, int most, int timeout)

cdef extern from "<time.h>" nogil:
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int clock_gettime(int clock, timespec* now)


cdef inline double monotonic() noexcept nogil:
    """Seconds, as the event loop's own clock counts them."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + now.tv_nsec * 1e-9
