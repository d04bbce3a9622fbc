/* Sockets of the edge benchmark's programs: TCP on the loopback, without delay, never blocking. */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

static inline void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static inline struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                .sin_port = htons((unsigned short)port)};
}

static inline void without_delay(int socket)
{
    int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
}

/* A listening socket; ends the program where it cannot be had. */
static inline int listen_at(int port)
{
    struct sockaddr_in address = loopback(port);
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, BACKLOG) < 0)
        give_up("listen");
    return listener;
}

/* A connected socket, or -1. On the loopback this does not wait for anybody. */
static inline int connect_to(int port)
{
    struct sockaddr_in address = loopback(port);
    int made = socket(AF_INET, SOCK_STREAM, 0);
    if (made < 0)
        return -1;
    if (connect(made, (struct sockaddr *)&address, sizeof address) < 0) {
        close(made);
        return -1;
    }
    without_delay(made);
    return made;
}

static inline void watch(int epoll, int socket, uint32_t events, void *data, int operation)
{
    struct epoll_event wanted = {.events = events, .data.ptr = data};
    if (epoll_ctl(epoll, operation, socket, &wanted) < 0)
        give_up("epoll_ctl");
}

/* Whether a call that failed may be tried again when epoll says so. */
static inline int only_later(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

#endif
