/* The floor of the edge benchmark: what a proxy pays for moving bytes, before it understands any of them.
 *
 * Takes connections, opens one to a backend for each, to every backend in turn, and copies both ways.
 * Usage: forwarder PORT BACKEND_PORT...
 */
#define _GNU_SOURCE
#include "loopback.h"

enum { ROOM = 65536, EVENTS = 256 };

/* One side of a connection. pending: bytes in `buffer` that came from here, and that the peer has not taken. */
struct side {
    int socket;
    uint32_t events;
    struct side *peer, *next_dead;
    int closed;
    size_t from, pending;
    char *buffer;
};

static struct side *dead; /* freed after the turn: events of this turn may still point there */
static char scratch[ROOM];

static void end(struct side *side)
{
    struct side *both[] = {side, side->peer};
    for (int i = 0; i < 2; i++) {
        if (both[i]->closed)
            return;
        both[i]->closed = 1;
        close(both[i]->socket);
        both[i]->next_dead = dead;
        dead = both[i];
    }
}

static void bury(void)
{
    while (dead) {
        struct side *next = dead->next_dead;
        free(dead->buffer);
        free(dead);
        dead = next;
    }
}

static void want(int epoll, struct side *side)
{
    uint32_t events = (side->pending ? 0 : EPOLLIN) | (side->peer->pending ? EPOLLOUT : 0);
    if (events != side->events) {
        watch(epoll, side->socket, events, side, EPOLL_CTL_MOD);
        side->events = events;
    }
}

/* Copy from one side to its peer as long as that takes it. 0 when one of them is gone. */
static int copy(struct side *side)
{
    for (;;) {
        while (side->pending) {
            ssize_t sent = send(side->peer->socket, side->buffer + side->from, side->pending, MSG_NOSIGNAL);
            if (sent < 0)
                return only_later();
            side->from += (size_t)sent;
            side->pending -= (size_t)sent;
        }
        ssize_t got = recv(side->socket, scratch, ROOM, 0);
        if (got <= 0)
            return got < 0 && only_later();
        ssize_t sent = send(side->peer->socket, scratch, (size_t)got, MSG_NOSIGNAL);
        if (sent < 0 && !only_later())
            return 0;
        sent = sent < 0 ? 0 : sent;
        if (sent < got) {
            if (!side->buffer && !(side->buffer = malloc(ROOM)))
                give_up("forwarder");
            side->from = 0;
            side->pending = (size_t)(got - sent);
            memcpy(side->buffer, scratch + sent, side->pending);
        } else if (got < ROOM) {
            return 1; /* all that there was: saves asking once more */
        }
    }
}

static void take_connections(int epoll, int listener, char **ports, int count)
{
    static unsigned turn;
    for (int taken; (taken = accept(listener, NULL, NULL)) >= 0;) {
        int other = connect_to(atoi(ports[turn++ % (unsigned)count]));
        struct side *client = calloc(1, sizeof *client), *server = calloc(1, sizeof *server);
        if (other < 0 || !client || !server)
            give_up("forwarder");
        without_delay(taken);
        *client = (struct side){.socket = taken, .events = EPOLLIN, .peer = server};
        *server = (struct side){.socket = other, .events = EPOLLIN, .peer = client};
        watch(epoll, taken, EPOLLIN, client, EPOLL_CTL_ADD);
        watch(epoll, other, EPOLLIN, server, EPOLL_CTL_ADD);
    }
}

int main(int count, char **arguments)
{
    static struct epoll_event events[EVENTS];
    if (count < 3) {
        fprintf(stderr, "usage: forwarder PORT BACKEND_PORT...\n");
        return 2;
    }
    int listener = listen_at(atoi(arguments[1])), epoll = epoll_create1(0);
    watch(epoll, listener, EPOLLIN, NULL, EPOLL_CTL_ADD);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct side *side = events[i].data.ptr;
            if (!side) {
                take_connections(epoll, listener, arguments + 2, count - 2);
                continue;
            }
            if (side->closed)
                continue;
            int alive = events[i].events & ~(uint32_t)EPOLLOUT ? copy(side) : 1;
            if (alive && events[i].events & EPOLLOUT)
                alive = copy(side->peer);
            if (!alive) {
                end(side);
                continue;
            }
            want(epoll, side);
            want(epoll, side->peer);
        }
        bury();
    }
}
