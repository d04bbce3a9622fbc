"""Datagrams in batches: what Linux offers for it, and where an answer leaves from."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    ctypedef unsigned short sa_family_t
    cdef struct sockaddr:
        sa_family_t sa_family
    cdef struct sockaddr_storage:
        sa_family_t ss_family
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    cdef struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    cdef struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int AF_INET, AF_INET6, SOL_SOCKET, SO_RCVTIMEO, SO_SNDTIMEO, SHUT_RD
    int MSG_WAITFORONE, MSG_DONTWAIT, MSG_TRUNC
    int recvmmsg(int socket, mmsghdr* messages, unsigned int most, int flags, timespec* timeout)
    int sendmmsg(int socket, mmsghdr* messages, unsigned int most, int flags)
    ssize_t sendmsg(int socket, const msghdr* message, int flags)
    int setsockopt(int socket, int level, int name, const void* value, socklen_t length)
    int getsockname(int socket, sockaddr* address, socklen_t* length)
    int shutdown(int socket, int how)
    cmsghdr* CMSG_FIRSTHDR(msghdr* message)
    cmsghdr* CMSG_NXTHDR(msghdr* message, cmsghdr* before)
    uint8_t* CMSG_DATA(cmsghdr* control)
    size_t CMSG_LEN(size_t length)
    size_t CMSG_SPACE(size_t length)

cdef extern from "<netinet/in.h>" nogil:
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct in6_addr:
        uint8_t s6_addr[16]
    cdef struct sockaddr_in:
        uint16_t sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        uint16_t sin6_port
        in6_addr sin6_addr
    cdef struct in_pktinfo:
        in_addr ipi_spec_dst
        in_addr ipi_addr
    cdef struct in6_pktinfo:
        in6_addr ipi6_addr
    int IPPROTO_IP, IPPROTO_IPV6, IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO
    uint16_t ntohs(uint16_t number)

cdef enum:
    CONTROL_BYTES = 64  # as many as udp.py asks for; only the packet information is ever in them


# Where a datagram came from and where its answer leaves from. control_length: 0 to let the kernel choose.
cdef struct Route:
    sockaddr_storage source
    socklen_t source_length
    size_t control_length
    uint8_t control[CONTROL_BYTES]


cdef inline void set_return(Route* route, msghdr* received) noexcept nogil:
    """Have the answer to what was received leave from the address that it was sent to."""
    cdef cmsghdr* each = CMSG_FIRSTHDR(received)
    cdef in_pktinfo at4
    cdef in_pktinfo from4
    cdef msghdr answer
    route.control_length = 0
    while each is not NULL:
        memset(&answer, 0, sizeof(answer))
        answer.msg_control = route.control
        answer.msg_controllen = CONTROL_BYTES
        if each.cmsg_level == IPPROTO_IP and each.cmsg_type == IP_PKTINFO:
            memcpy(&at4, CMSG_DATA(each), sizeof(in_pktinfo))
            memset(&from4, 0, sizeof(in_pktinfo))
            from4.ipi_spec_dst = at4.ipi_addr
            _put(route, &answer, each, &from4, sizeof(in_pktinfo))
            return
        if each.cmsg_level == IPPROTO_IPV6 and each.cmsg_type == IPV6_PKTINFO:
            _put(route, &answer, each, CMSG_DATA(each), sizeof(in6_pktinfo))
            return
        each = CMSG_NXTHDR(received, each)


cdef inline void _put(
    Route* route, msghdr* answer, const cmsghdr* like, const void* data, size_t length
) noexcept nogil:
    cdef cmsghdr* made
    memset(route.control, 0, CONTROL_BYTES)
    made = CMSG_FIRSTHDR(answer)
    made.cmsg_level = like.cmsg_level
    made.cmsg_type = like.cmsg_type
    made.cmsg_len = CMSG_LEN(length)
    memcpy(CMSG_DATA(made), data, length)
    route.control_length = CMSG_SPACE(length)
