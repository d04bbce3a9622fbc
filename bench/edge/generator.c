/* The load of the edge benchmark: requests over keep-alive connections, and a look at every response.
 *
 * Without a rate every connection asks again as soon as it is answered. With a rate requests are due at evenly
 * spread moments, whatever the server does: one that finds no idle connection waits for the next, and its latency
 * counts from the moment when it was due, so that a slow server cannot make the load wait with it unseen.
 *
 * Usage: generator --port PORT --seconds SECONDS, and whatever of this is to differ from what it says here:
 *   --path /small          of a GET; of a POST with --upload
 *   --expect 1024          bytes of the response's body; anything else is a fault
 *   --upload 0             bytes of the request's body
 *   --connections 64       at a time
 *   --rate 0               requests a second; 0 for as many as are answered
 *   --varied               another path and another Cookie in every request
 *   --once                 a new connection for every request
 *   --patience 5000        ms at the end for what is under way
 *   --seed 1
 * Prints a JSON object. faults: responses with a status other than 200, with another length, or that break off.
 * lost: requests without a response at the end. unsent: requests of the rate that waited for a connection then.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <time.h>

#include "heads.h"
#include "loopback.h"
#include "request.h"

enum {
    LARGEST_HEAD = 8192,
    MOST_CONNECTIONS = 4096,
    EVENTS = 256,
    PIECE = 262144,
    FIRST_SAMPLES = 65536,
    TICK_MS = 50,
};

enum state { IDLE, ASKING, AWAITING, READING };

/* left: bytes of the response's body to come. answered: responses on this connection so far. */
struct client {
    int socket, writable_wanted, last, wrong;
    enum state state;
    unsigned long answered;
    double due;
    size_t request_sent, have;
    long upload_left, left;
    char request[LARGEST_REQUEST];
    char head[LARGEST_HEAD + 1];
};

struct load {
    struct wording wording;
    int port, connections, once;
    double seconds, rate, patience;
    long expect;

    int epoll, under_way, idle_count;
    struct client *clients, *idle[MOST_CONNECTIONS];
    double start, end, moment;
    long asked_of_rate;

    long answered, faults, reopened, down;
    float *latencies;
    long room;
};

static double now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (double)moment.tv_sec + (double)moment.tv_nsec / 1e9;
}

static void open_connection(struct load *load, struct client *client)
{
    client->socket = connect_to(load->port);
    if (client->socket < 0)
        give_up("generator: cannot connect");
    client->writable_wanted = 0;
    client->answered = 0;
    watch(load->epoll, client->socket, EPOLLIN, client, EPOLL_CTL_ADD);
}

static void reopen(struct load *load, struct client *client)
{
    close(client->socket);
    open_connection(load, client);
}

static void record(struct load *load, double latency)
{
    if (load->answered == load->room) {
        load->room = load->room ? 2 * load->room : FIRST_SAMPLES;
        load->latencies = realloc(load->latencies, (size_t)load->room * sizeof *load->latencies);
        if (!load->latencies)
            give_up("generator");
    }
    load->latencies[load->answered++] = (float)latency;
}

/* Send what of the request is still to be sent; 0 when the connection is broken. */
static int go_on_asking(struct load *load, struct client *client)
{
    static char filling[PIECE];
    while (client->request_sent < load->wording.length || client->upload_left) {
        int in_head = client->request_sent < load->wording.length;
        size_t length = in_head                      ? load->wording.length - client->request_sent
                        : client->upload_left < PIECE ? (size_t)client->upload_left
                                                      : PIECE;
        ssize_t sent = send(client->socket, in_head ? client->request + client->request_sent : filling, length,
                            MSG_NOSIGNAL | (in_head && client->upload_left ? MSG_MORE : 0));
        if (sent < 0 && !only_later())
            return 0;
        if (sent < 0)
            break;
        if (in_head)
            client->request_sent += (size_t)sent;
        else
            client->upload_left -= sent;
    }
    int wanted = client->request_sent < load->wording.length || client->upload_left;
    if (wanted != client->writable_wanted) {
        watch(load->epoll, client->socket, EPOLLIN | (wanted ? EPOLLOUT : 0), client, EPOLL_CTL_MOD);
        client->writable_wanted = wanted;
    }
    if (!wanted)
        client->state = AWAITING;
    return 1;
}

static void send_request(struct load *load, struct client *client)
{
    client->state = ASKING;
    client->request_sent = client->have = 0;
    client->upload_left = load->wording.upload;
    client->last = client->wrong = 0;
    if (!go_on_asking(load, client)) {
        /* A server may close a connection that is idle; one that it has never answered on it may not. */
        load->reopened++;
        load->faults += !client->answered;
        reopen(load, client);
        send_request(load, client);
    }
}

static void ask(struct load *load, struct client *client, double due)
{
    client->due = due;
    put_request(&load->wording, client->request);
    load->under_way++;
    send_request(load, client);
}

static void idle_or_ask(struct load *load, struct client *client)
{
    client->state = IDLE;
    if (!load->rate && load->moment < load->end)
        ask(load, client, load->moment);
    else
        load->idle[load->idle_count++] = client;
}

static void finish(struct load *load, struct client *client)
{
    record(load, now() - client->due);
    load->faults += client->wrong;
    load->under_way--;
    client->answered++;
    if (load->once || client->last)
        reopen(load, client);
    load->reopened += client->last && !load->once;
    idle_or_ask(load, client);
}

/* The connection is gone. An idle one is just opened again; a request that nothing came back for is sent again. */
static void broken(struct load *load, struct client *client)
{
    int fresh = !client->answered, begun = client->state == READING || client->have;
    reopen(load, client);
    load->reopened++;
    if (client->state == IDLE)
        return;
    if (!fresh && !begun) {
        send_request(load, client);
        return;
    }
    load->faults++;
    load->under_way--;
    idle_or_ask(load, client);
}

static int head_is_read(struct load *load, struct client *client)
{
    client->head[client->have] = 0;
    size_t length = head_length(client->head, client->have);
    if (!length)
        return 0;
    client->head[length - 1] = 0;
    long body = body_length(client->head);
    client->last = wants_to_close(client->head) || body < 0;
    client->wrong = strncmp(client->head, "HTTP/1.1 200 ", 13) != 0 || body != load->expect ||
                    client->state != AWAITING || (long)(client->have - length) > body;
    client->left = body - (long)(client->have - length);
    load->down += (long)client->have;
    client->last |= client->wrong;
    client->state = READING;
    return 1;
}

static void read_response(struct load *load, struct client *client)
{
    for (;;) {
        if (client->state == READING && client->left <= 0) {
            finish(load, client);
            return;
        }
        /* Bodies are not looked into, and so need not be copied here. */
        ssize_t got = client->state == READING
                          ? recv(client->socket, NULL, (size_t)client->left, MSG_TRUNC)
                          : recv(client->socket, client->head + client->have, LARGEST_HEAD - client->have, 0);
        if (got < 0 && only_later())
            return;
        if (got <= 0 || client->state == IDLE) {
            load->faults += got > 0;
            broken(load, client);
            return;
        }
        if (client->state == READING) {
            client->left -= got;
            load->down += got;
            continue;
        }
        client->have += (size_t)got;
        if (!head_is_read(load, client))
            return;
    }
}

static double due_at(const struct load *load)
{
    return load->start + (double)load->asked_of_rate / load->rate;
}

static void ask_what_is_due(struct load *load)
{
    while (load->idle_count && due_at(load) <= load->moment && due_at(load) < load->end) {
        double due = due_at(load);
        load->asked_of_rate++;
        ask(load, load->idle[--load->idle_count], due);
    }
}

static void turn(struct load *load)
{
    static struct epoll_event events[EVENTS];
    double pause = TICK_MS / 1e3;
    if (load->rate && load->idle_count && load->moment < load->end) {
        pause = due_at(load) - now();
        pause = pause < 0 ? 0 : pause > TICK_MS / 1e3 ? TICK_MS / 1e3 : pause;
    }
    struct timespec most = {0, (long)(pause * 1e9)};
    int ready = epoll_pwait2(load->epoll, events, EVENTS, &most, NULL);
    load->moment = now();
    for (int i = 0; i < ready; i++) {
        struct client *client = events[i].data.ptr;
        if (client->state == ASKING && events[i].events & EPOLLOUT && !go_on_asking(load, client))
            broken(load, client);
        else if (events[i].events & ~(uint32_t)EPOLLOUT)
            read_response(load, client);
    }
}

/* The load itself; how many seconds it took. */
static double run(struct load *load)
{
    load->epoll = epoll_create1(0);
    for (int i = 0; i < load->connections; i++)
        open_connection(load, &load->clients[i]);
    load->start = load->moment = now();
    load->end = load->start + load->seconds;
    for (int i = 0; i < load->connections; i++)
        idle_or_ask(load, &load->clients[i]);
    while (load->moment < load->end) {
        if (load->rate)
            ask_what_is_due(load);
        turn(load);
    }
    /* What is under way still counts: the server has paid for it, or will. */
    while (load->under_way && load->moment < load->end + load->patience)
        turn(load);
    return now() - load->start;
}

static int compare(const void *one, const void *other)
{
    float a = *(const float *)one, b = *(const float *)other;
    return (a > b) - (a < b);
}

/* Milliseconds within which this share of the requests was answered. */
static double quantile(const struct load *load, double share)
{
    if (!load->answered)
        return 0;
    long index = (long)(share * (double)load->answered);
    return load->latencies[index < load->answered ? index : load->answered - 1] * 1e3;
}

static void print(struct load *load, double seconds)
{
    long unsent = load->rate ? (long)(load->seconds * load->rate) - load->asked_of_rate : 0;
    if (load->answered)
        qsort(load->latencies, (size_t)load->answered, sizeof *load->latencies, compare);
    printf("{\"seconds\": %.6f, \"answered\": %ld, \"faults\": %ld, \"lost\": %d, \"unsent\": %ld, "
           "\"reopened\": %ld, \"bytes_down\": %ld, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"p999_ms\": %.4f, "
           "\"most_ms\": %.4f}\n",
           seconds, load->answered, load->faults, load->under_way, unsent > 0 ? unsent : 0, load->reopened,
           load->down, quantile(load, 0.5), quantile(load, 0.99), quantile(load, 0.999), quantile(load, 1));
}

static void read_options(struct load *load, int count, char **arguments)
{
    enum { PORT, SECONDS, PATH, EXPECT, UPLOAD, CONNECTIONS, RATE, VARIED, ONCE, PATIENCE, SEED };
    static const struct option known[] = {
        {"port", 1, 0, PORT},     {"seconds", 1, 0, SECONDS}, {"path", 1, 0, PATH},
        {"expect", 1, 0, EXPECT}, {"upload", 1, 0, UPLOAD},   {"connections", 1, 0, CONNECTIONS},
        {"rate", 1, 0, RATE},     {"varied", 0, 0, VARIED},   {"once", 0, 0, ONCE},
        {"seed", 1, 0, SEED},     {"patience", 1, 0, PATIENCE}, {0, 0, 0, 0},
    };
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;)
        switch (option) {
        case PORT: load->port = atoi(optarg); break;
        case SECONDS: load->seconds = atof(optarg); break;
        case PATH: load->wording.path = optarg; break;
        case EXPECT: load->expect = atol(optarg); break;
        case UPLOAD: load->wording.upload = atol(optarg); break;
        case CONNECTIONS: load->connections = atoi(optarg); break;
        case RATE: load->rate = atof(optarg); break;
        case VARIED: load->wording.varied = 1; break;
        case ONCE: load->once = 1; break;
        case PATIENCE: load->patience = atof(optarg) / 1e3; break;
        case SEED: load->wording.random_state = strtoull(optarg, NULL, 10) * 0x9E3779B97F4A7C15ULL | 1; break;
        default: exit(2);
        }
    if (!load->port || load->seconds <= 0 || load->rate < 0 || load->expect < 0 || load->wording.upload < 0 ||
        load->connections < 1 || load->connections > MOST_CONNECTIONS || strlen(load->wording.path) > 256) {
        fprintf(stderr, "generator: a port, seconds, 1 to %d connections\n", MOST_CONNECTIONS);
        exit(2);
    }
}

int main(int count, char **arguments)
{
    static struct load load = {
        .wording = {.path = "/small", .random_state = 0x9E3779B97F4A7C15ULL},
        .expect = 1024,
        .connections = 64,
        .patience = 5,
    };
    read_options(&load, count, arguments);
    make_request(&load.wording);
    load.clients = calloc((size_t)load.connections, sizeof *load.clients);
    if (!load.clients)
        give_up("generator");
    double seconds = run(&load);
    print(&load, seconds);
    return 0;
}
