/* The load of the DNS benchmark and of the soak: asks one server over UDP, and checks its answers.
 *
 * Every query is for the A record of a random name, n0000.bench.test to n9999.bench.test (or of www.bench.test,
 * if there is to be one name only), with the client subnet (RFC 7871) of a random public IPv4 /24, and with a
 * cookie (RFC 7873) if one is given. Without a rate as many queries as allowed are under way at any time: as
 * soon as an answer comes, the next query takes its place. With a rate the queries are spread evenly.
 *
 * Usage: generator --port PORT --seconds SECONDS, and whatever of this is to differ from what it says here:
 *   --names 1000           how many different names
 *   --outstanding 64       queries under way at a time, the most
 *   --rate 0               queries a second; 0 for as many as are answered
 *   --cookie HEX           the data of the COOKIE option
 *   --new-clients 0        every so manieth query has the client's half of the cookie only
 *   --look 64              look into every so manieth answer; 0 into none
 *   --patience 1000        ms after which a query without an answer is lost
 *   --seed 1
 *   --each-second          print what happened in every second, too
 * Prints a JSON object a line; the last one is of all together.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <getopt.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "question.h"

enum {
    BATCH = 64,
    LARGEST = 1500,
    IDS = 65536,
    MOST_OUTSTANDING = 8192, /* an ID rests while at least seven times as many others are used */
    RECEIVE_BUFFER = 4 << 20,
    TICK_MS = 50,
};

/* Seconds. Queries of a rate are sent together that are due within SPREAD; who is late by more than CATCH_UP
 * leaves out what is due, for all of it at once would be a burst that nobody wanted. */
static const double SPREAD = 2e-4, CATCH_UP = 5e-3;

struct slot {
    double sent_at;
    int waiting;
};

/* unexpected: answers to nothing that waits. skipped: queries of the rate that were never sent. */
struct totals {
    long sent, answered, lost, unexpected, checked, bad, skipped;
    double latency_most;
};

struct load {
    struct wording wording;
    int port, outstanding, look, new_clients, each_second;
    double seconds, rate, patience;

    int socket, under_way;
    double start;
    long due_sent; /* of the rate: sent or skipped */
    struct slot slots[IDS];
    uint16_t idle[IDS]; /* a ring: the ID that has rested longest is next */
    unsigned idle_head, idle_tail;
    struct totals second, totals;
};

static double now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (double)moment.tv_sec + (double)moment.tv_nsec / 1e9;
}

static size_t cookie_length_of_next(const struct load *load)
{
    int is_new = load->new_clients && (load->totals.sent + load->second.sent) % load->new_clients == 0;
    return is_new && load->wording.cookie_length ? CLIENT_COOKIE : load->wording.cookie_length;
}

/* How many queries are to be sent now. */
static int due(struct load *load, double moment)
{
    int room = load->outstanding - load->under_way;
    if (!load->rate)
        return room;
    long wanted = (long)((moment - load->start) * load->rate) - load->due_sent;
    long most = (long)(CATCH_UP * load->rate) + 1;
    if (most > room)
        most = room;
    if (wanted > most) {
        load->second.skipped += wanted - most;
        load->due_sent += wanted - most;
        wanted = most;
    }
    return (int)wanted;
}

static void ask(struct load *load)
{
    static unsigned char packets[BATCH][LARGEST];
    static struct iovec buffers[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int left = due(load, now()); left > 0;) {
        int count = left < BATCH ? left : BATCH;
        double moment = now();
        for (int i = 0; i < count; i++) {
            uint16_t id = load->idle[(load->idle_head + (unsigned)i) % IDS];
            size_t length = put_query(&load->wording, packets[i], id, cookie_length_of_next(load));
            buffers[i] = (struct iovec){packets[i], length};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &buffers[i], .msg_iovlen = 1};
            load->second.sent++; /* those that are not sent after all are taken back below */
        }
        int sent = sendmmsg(load->socket, messages, (unsigned)count, 0);
        load->second.sent -= count - (sent > 0 ? sent : 0);
        if (sent <= 0)
            return; /* a full buffer, or a server that is gone: the next turn tries again */
        for (int i = 0; i < sent; i++)
            load->slots[load->idle[load->idle_head++ % IDS]] = (struct slot){moment, 1};
        load->under_way += sent;
        load->due_sent += sent;
        left -= sent;
    }
}

static void release(struct load *load, uint16_t id)
{
    load->slots[id].waiting = 0;
    load->idle[load->idle_tail++ % IDS] = id;
    load->under_way--;
}

static void take(struct load *load, const unsigned char *packet, size_t length, double moment)
{
    uint16_t id = length < 2 ? 0 : (uint16_t)(packet[0] << 8 | packet[1]);
    struct slot *slot = &load->slots[id];
    if (length < HEADER || !slot->waiting) {
        load->second.unexpected++;
        return;
    }
    release(load, id);
    if (moment - slot->sent_at > load->second.latency_most)
        load->second.latency_most = moment - slot->sent_at;
    load->second.answered++;
    if (load->look && (load->totals.answered + load->second.answered) % load->look == 0) {
        load->second.checked++;
        load->second.bad += !is_good(packet, length);
    }
}

/* Take what answers there are, after waiting for the first of them, but not beyond the next query or tick. */
static void listen_once(struct load *load)
{
    static unsigned char packets[BATCH][LARGEST];
    static struct iovec buffers[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        buffers[i] = (struct iovec){packets[i], LARGEST};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &buffers[i], .msg_iovlen = 1};
    }
    int flags = MSG_WAITFORONE;
    if (load->rate) {
        double pause = load->start + (double)(load->due_sent + 1) / load->rate - now();
        pause = pause < SPREAD ? SPREAD : pause > TICK_MS / 1e3 ? TICK_MS / 1e3 : pause;
        struct timespec most = {0, (long)(pause * 1e9)};
        struct pollfd wanted = {.fd = load->socket, .events = POLLIN};
        ppoll(&wanted, 1, &most, NULL);
        flags = MSG_DONTWAIT;
    }
    int received = recvmmsg(load->socket, messages, BATCH, flags, NULL);
    double moment = received > 0 ? now() : 0;
    for (int i = 0; i < received; i++)
        take(load, packets[i], messages[i].msg_len, moment);
}

static void give_up_on_lost(struct load *load, double moment)
{
    for (int id = 0; id < IDS; id++)
        if (load->slots[id].waiting && moment - load->slots[id].sent_at > load->patience) {
            load->second.lost++;
            release(load, (uint16_t)id);
        }
}

static void open_socket(struct load *load)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval tick = {0, TICK_MS * 1000};
    int buffer = RECEIVE_BUFFER, opened = socket(AF_INET, SOCK_DGRAM, 0);
    address.sin_port = htons((unsigned short)load->port);
    if (opened < 0 || connect(opened, (struct sockaddr *)&address, sizeof address) < 0 ||
        setsockopt(opened, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) < 0 ||
        setsockopt(opened, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick) < 0) {
        perror("generator");
        exit(1);
    }
    load->socket = opened;
}

/* Answers that came and for which this program had no room: lost by it, and not by the server. */
static unsigned long dropped_here(const struct load *load)
{
    uint32_t told[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof told;
    return getsockopt(load->socket, SOL_SOCKET, SO_MEMINFO, told, &length) ? 0 : told[SK_MEMINFO_DROPS];
}

static void print(const struct load *load, const struct totals *what, double seconds)
{
    printf("{\"seconds\": %.6f, \"sent\": %ld, \"answered\": %ld, \"lost\": %ld, \"unexpected\": %ld, "
           "\"checked\": %ld, \"bad\": %ld, \"skipped\": %ld, \"latency_most_ms\": %.3f, \"dropped_here\": %lu}\n",
           seconds, what->sent, what->answered, what->lost, what->unexpected, what->checked, what->bad,
           what->skipped, what->latency_most * 1e3, dropped_here(load));
    fflush(stdout);
}

/* Close the books of a second. */
static void add_up(struct load *load)
{
    struct totals *all = &load->totals, *last = &load->second;
    all->sent += last->sent;
    all->answered += last->answered;
    all->lost += last->lost;
    all->unexpected += last->unexpected;
    all->checked += last->checked;
    all->bad += last->bad;
    all->skipped += last->skipped;
    if (last->latency_most > all->latency_most)
        all->latency_most = last->latency_most;
    memset(last, 0, sizeof *last);
}

/* The load itself; how many seconds it took. */
static double run(struct load *load)
{
    load->start = now();
    double end = load->start + load->seconds, looked_at = load->start, second = load->start, moment = load->start;
    while (moment < end) {
        ask(load);
        listen_once(load);
        moment = now();
        if (moment - looked_at > TICK_MS / 1e3) {
            give_up_on_lost(load, moment);
            looked_at = moment;
        }
        if (moment - second >= 1) {
            if (load->each_second)
                print(load, &load->second, moment - second);
            add_up(load);
            second = moment;
        }
    }
    /* What is under way still counts: the server has paid for it, or will. */
    while (load->under_way) {
        listen_once(load);
        give_up_on_lost(load, now());
    }
    add_up(load);
    return now() - load->start;
}

static void read_cookie(struct load *load, const char *text)
{
    unsigned value;
    size_t length = 0;
    for (; length < LARGEST_COOKIE && sscanf(text + 2 * length, "%2x", &value) == 1; length++)
        load->wording.cookie[length] = (unsigned char)value;
    load->wording.cookie_length = length;
}

static void read_options(struct load *load, int count, char **arguments)
{
    enum { PORT, SECONDS, NAMES, OUTSTANDING, RATE, COOKIE, NEW_CLIENTS, LOOK, PATIENCE, SEED, EACH_SECOND };
    static const struct option known[] = {
        {"port", 1, 0, PORT},         {"seconds", 1, 0, SECONDS},
        {"names", 1, 0, NAMES},       {"outstanding", 1, 0, OUTSTANDING},
        {"rate", 1, 0, RATE},         {"cookie", 1, 0, COOKIE},
        {"look", 1, 0, LOOK},         {"new-clients", 1, 0, NEW_CLIENTS},
        {"seed", 1, 0, SEED},         {"patience", 1, 0, PATIENCE},
        {"each-second", 0, 0, EACH_SECOND}, {0, 0, 0, 0},
    };
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;)
        switch (option) {
        case PORT: load->port = atoi(optarg); break;
        case SECONDS: load->seconds = atof(optarg); break;
        case NAMES: load->wording.names = atoi(optarg); break;
        case OUTSTANDING: load->outstanding = atoi(optarg); break;
        case RATE: load->rate = atof(optarg); break;
        case COOKIE: read_cookie(load, optarg); break;
        case NEW_CLIENTS: load->new_clients = atoi(optarg); break;
        case LOOK: load->look = atoi(optarg); break;
        case PATIENCE: load->patience = atof(optarg) / 1e3; break;
        case SEED: load->wording.random_state = strtoull(optarg, NULL, 10) * 0x9E3779B97F4A7C15ULL | 1; break;
        case EACH_SECOND: load->each_second = 1; break;
        default: exit(2);
        }
    int names = load->wording.names, outstanding = load->outstanding;
    if (!load->port || load->seconds <= 0 || load->rate < 0 || names < 1 || names > MOST_NAMES || outstanding < 1 ||
        outstanding > MOST_OUTSTANDING) {
        fprintf(stderr, "generator: a port, seconds, 1 to %d names, 1 to %d outstanding\n", MOST_NAMES,
                MOST_OUTSTANDING);
        exit(2);
    }
}

int main(int count, char **arguments)
{
    static struct load load = {
        .wording = {.names = 1000, .random_state = 0x9E3779B97F4A7C15ULL},
        .outstanding = 64,
        .look = 64,
        .patience = 1,
    };
    read_options(&load, count, arguments);
    open_socket(&load);
    unsigned used = 8 * (unsigned)load.outstanding;
    for (; load.idle_tail < used; load.idle_tail++)
        load.idle[load.idle_tail] = (uint16_t)load.idle_tail;
    double seconds = run(&load);
    print(&load, &load.totals, seconds);
    return 0;
}
