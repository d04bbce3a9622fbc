/* The server behind every proxy of the edge benchmark: cheap, constant, and never the first to close.
 *
 * GET /small... gets 1,024 bytes of text with eight ordinary fields, GET /bytes/N gets N bytes, and a POST whose
 * length is known is read to its end and answered with three bytes. X-Served-By tells which backend it was.
 * Usage: backend PORT NAME
 */
#define _GNU_SOURCE
#include "heads.h"
#include "loopback.h"

enum { LARGEST_HEAD = 16384, PIECE = 262144, SMALL = 1024, EVENTS = 256 };

struct connection {
    int socket, writable_wanted;
    size_t have;
    long to_swallow;          /* bytes of the request's body that are still to come */
    int swallowing;           /* a request's body is being read */
    const char *out;          /* what is to be sent of a text, then bytes of filling */
    size_t out_left;
    long fill_left;
    char large_head[512];
    char head[LARGEST_HEAD + 1];
};

static char small[SMALL + 512], thanks[512], refusal[128], filling[PIECE];
static size_t small_length, thanks_length, refusal_length;
static const char *name;

static size_t put_head(char *target, size_t room, long length)
{
    return (size_t)snprintf(target, room,
                            "HTTP/1.1 200 OK\r\n"
                            "Date: Sun, 22 Nov 2026 12:00:00 GMT\r\n"
                            "Content-Type: text/plain; charset=utf-8\r\n"
                            "Content-Length: %ld\r\n"
                            "Cache-Control: public, max-age=60\r\n"
                            "ETag: \"5d8c72a5edda8d6a\"\r\n"
                            "Vary: Accept-Encoding\r\n"
                            "X-Content-Type-Options: nosniff\r\n"
                            "X-Served-By: %s\r\n"
                            "\r\n",
                            length, name);
}

static void make_answers(void)
{
    small_length = put_head(small, sizeof small, SMALL);
    for (int i = 0; i < SMALL; i++)
        small[small_length++] = i % 64 == 63 ? '\n' : (char)('a' + i % 26);
    thanks_length = put_head(thanks, sizeof thanks, 3);
    memcpy(thanks + thanks_length, "ok\n", 3);
    thanks_length += 3;
    refusal_length = (size_t)snprintf(refusal, sizeof refusal, "HTTP/1.1 501 Not here\r\nContent-Length: 0\r\n\r\n");
    memset(filling, 'x', sizeof filling);
}

static void answer(struct connection *c, const char *text, size_t length)
{
    c->out = text;
    c->out_left = length;
}

/* Take the request whose head is whole; the body of a POST comes first. */
static void begin(struct connection *c)
{
    if (strncmp(c->head, "GET /small", 10) == 0) {
        answer(c, small, small_length);
    } else if (strncmp(c->head, "GET /bytes/", 11) == 0) {
        c->fill_left = strtol(c->head + 11, NULL, 10);
        answer(c, c->large_head, put_head(c->large_head, sizeof c->large_head, c->fill_left));
    } else if (strncmp(c->head, "POST ", 5) == 0 && body_length(c->head) >= 0) {
        c->to_swallow = body_length(c->head);
        c->swallowing = 1;
    } else {
        answer(c, refusal, refusal_length);
    }
}

/* Send what there is to send. 1: all of it; 0: later; -1: the peer is gone. */
static int sent_all(struct connection *c)
{
    while (c->out_left || c->fill_left) {
        const char *from = c->out_left ? c->out : filling;
        size_t length = c->out_left ? c->out_left : c->fill_left < PIECE ? (size_t)c->fill_left : PIECE;
        ssize_t sent = send(c->socket, from, length, MSG_NOSIGNAL | (c->out_left && c->fill_left ? MSG_MORE : 0));
        if (sent < 0)
            return only_later() ? 0 : -1;
        if (c->out_left) {
            c->out += sent;
            c->out_left -= (size_t)sent;
        } else {
            c->fill_left -= sent;
        }
    }
    return 1;
}

/* Read of the request what has come. 1: a request is whole; 0: later; -1: the peer is gone. */
static int read_more(struct connection *c)
{
    for (;;) {
        size_t head = head_length(c->head, c->have);
        if (!c->swallowing && head) {
            char after = c->head[head];
            c->head[head] = 0;
            begin(c);
            c->head[head] = after;
            c->have -= head;
            if (c->swallowing) {
                size_t of_body = (long)c->have < c->to_swallow ? c->have : (size_t)c->to_swallow;
                c->to_swallow -= (long)of_body;
                c->have -= of_body;
                head += of_body;
            }
            memmove(c->head, c->head + head, c->have);
            if (!c->swallowing)
                return 1;
        }
        if (c->swallowing && !c->to_swallow) {
            c->swallowing = 0;
            answer(c, thanks, thanks_length);
            return 1;
        }
        ssize_t got = c->swallowing ? recv(c->socket, NULL, (size_t)c->to_swallow, MSG_TRUNC)
                                    : recv(c->socket, c->head + c->have, LARGEST_HEAD - c->have, 0);
        if (got <= 0)
            return got < 0 && only_later() ? 0 : -1;
        if (c->swallowing)
            c->to_swallow -= got;
        else
            c->have += (size_t)got;
    }
}

static void serve(int epoll, struct connection *c)
{
    int state;
    while ((state = sent_all(c)) == 1 && (state = read_more(c)) == 1)
        ;
    if (state < 0) {
        close(c->socket);
        free(c);
        return;
    }
    int writable_wanted = c->out_left || c->fill_left;
    if (writable_wanted != c->writable_wanted) {
        watch(epoll, c->socket, writable_wanted ? EPOLLOUT : EPOLLIN, c, EPOLL_CTL_MOD);
        c->writable_wanted = writable_wanted;
    }
}

static void take_connections(int epoll, int listener)
{
    for (int taken; (taken = accept(listener, NULL, NULL)) >= 0;) {
        struct connection *c = calloc(1, sizeof *c);
        if (!c)
            give_up("backend");
        c->socket = taken;
        without_delay(taken);
        watch(epoll, taken, EPOLLIN, c, EPOLL_CTL_ADD);
    }
}

int main(int count, char **arguments)
{
    static struct epoll_event events[EVENTS];
    if (count != 3) {
        fprintf(stderr, "usage: backend PORT NAME\n");
        return 2;
    }
    name = arguments[2];
    make_answers();
    int listener = listen_at(atoi(arguments[1])), epoll = epoll_create1(0);
    watch(epoll, listener, EPOLLIN, NULL, EPOLL_CTL_ADD);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++)
            if (events[i].data.ptr)
                serve(epoll, events[i].data.ptr);
            else
                take_connections(epoll, listener);
    }
}
