/* The load of the DNS benchmark: keeps a number of queries outstanding at one server, and checks its answers.
 *
 * Every query is for the A record of a random name, n000.bench.test to n999.bench.test (or of www.bench.test,
 * if there is to be one name only), with the client subnet (RFC 7871) of a random public IPv4 /24, and with a
 * cookie (RFC 7873) if one is given. As soon as an answer comes, the next query takes its place.
 *
 * Usage: generator PORT SECONDS NAMES OUTSTANDING SEED CHECKED COOKIE
 * CHECKED: 1 to look into a sample of the answers, 0 not to. COOKIE: the option's data in hexadecimal, or "-".
 * Prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

enum {
    BATCH = 64,
    LARGEST = 1500,
    MOST_OUTSTANDING = 1024, /* the low bits of an ID tell the slot, the others the turn */
    SLOT_BITS = 10,
    HEADER = 12,
    NAME_AT = HEADER,
    QUESTION_LENGTH = 17 + 4, /* \4n000\5bench\4test\0 and type and class; www is one byte shorter */
    LARGEST_COOKIE = 40,
    CHECK_EVERY = 64,
    PATIENCE_MS = 1000, /* a query that is not answered by then is lost */
    TICK_MS = 50,
};

struct slot {
    uint16_t id;
    int waiting;
    double sent_at;
};

struct totals {
    long sent, answered, lost, unexpected, checked, bad;
};

struct load {
    int socket, names, outstanding, look_into_answers;
    unsigned char cookie[LARGEST_COOKIE];
    size_t cookie_length;
    uint64_t random_state;
    struct slot slots[MOST_OUTSTANDING];
    int idle[MOST_OUTSTANDING], idle_count;
    struct totals totals;
};

static double now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (double)moment.tv_sec + (double)moment.tv_nsec / 1e9;
}

/* xorshift64* (Vigna 2016): good enough for drawing, and costs next to nothing. */
static uint32_t draw(struct load *load)
{
    uint64_t x = load->random_state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    load->random_state = x;
    return (uint32_t)((x * 2685821657736338717ULL) >> 32);
}

/* The first 24 bits of a network that is routed on the Internet. */
static uint32_t draw_subnet(struct load *load)
{
    for (;;) {
        uint32_t network = draw(load) >> 8;
        uint32_t first = network >> 16, second = network >> 8 & 255;
        int private_use = first == 10 || (first == 172 && second >> 4 == 1) || (first == 192 && second == 168);
        int other_use = first == 0 || first == 127 || first >= 224 || (first == 169 && second == 254) ||
                        (first == 100 && second >> 6 == 1);
        if (!private_use && !other_use)
            return network;
    }
}

static unsigned char *put16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
    return at + 2;
}

static unsigned char *put_question(struct load *load, unsigned char *at)
{
    if (load->names == 1) {
        memcpy(at, "\3www\5bench\4test\0\0\1\0\1", QUESTION_LENGTH - 1);
        return at + QUESTION_LENGTH - 1;
    }
    unsigned name = draw(load) % (unsigned)load->names;
    memcpy(at, "\4n000\5bench\4test\0\0\1\0\1", QUESTION_LENGTH);
    at[2] = (unsigned char)('0' + name / 100);
    at[3] = (unsigned char)('0' + name / 10 % 10);
    at[4] = (unsigned char)('0' + name % 10);
    return at + QUESTION_LENGTH;
}

/* Write a query with this ID; its length. */
static size_t put_query(struct load *load, unsigned char *packet, uint16_t id)
{
    static const unsigned char header[HEADER] = {0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1};
    memcpy(packet, header, HEADER);
    put16(packet, id);
    unsigned char *at = put_question(load, packet + NAME_AT);
    static const unsigned char opt[] = {0, 0, 41, 1232 >> 8, 1232 & 255, 0, 0, 0, 0};
    memcpy(at, opt, sizeof opt);
    unsigned options = 4 + 4 + 3;
    if (load->cookie_length)
        options += 4 + (unsigned)load->cookie_length;
    at = put16(at + sizeof opt, options);
    uint32_t network = draw_subnet(load);
    static const unsigned char subnet[] = {0, 8, 0, 7, 0, 1, 24, 0};
    memcpy(at, subnet, sizeof subnet);
    at += sizeof subnet;
    at = put16(at, network >> 8);
    *at++ = (unsigned char)network;
    if (load->cookie_length) {
        at = put16(at, 10);
        at = put16(at, (unsigned)load->cookie_length);
        memcpy(at, load->cookie, load->cookie_length);
        at += load->cookie_length;
    }
    return (size_t)(at - packet);
}

/* Give every idle slot a query. */
static void ask(struct load *load)
{
    static unsigned char packets[BATCH][LARGEST];
    static struct iovec buffers[BATCH];
    static struct mmsghdr messages[BATCH];
    while (load->idle_count) {
        int count = load->idle_count < BATCH ? load->idle_count : BATCH;
        double moment = now();
        for (int i = 0; i < count; i++) {
            struct slot *slot = &load->slots[load->idle[load->idle_count - 1 - i]];
            slot->id = (uint16_t)(slot->id + (1 << SLOT_BITS));
            buffers[i] = (struct iovec){packets[i], put_query(load, packets[i], slot->id)};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &buffers[i], .msg_iovlen = 1};
            slot->sent_at = moment;
        }
        int sent = sendmmsg(load->socket, messages, (unsigned)count, 0);
        if (sent <= 0)
            return; /* a full buffer, or a server that is gone: the slots stay idle until the next turn */
        for (int i = 0; i < sent; i++)
            load->slots[load->idle[load->idle_count - 1 - i]].waiting = 1;
        load->idle_count -= sent;
        load->totals.sent += sent;
    }
}

/* Whether it is a response without an error and with an answer to a name of the world. */
static int is_good(const unsigned char *packet, size_t length)
{
    size_t end_of_name = sizeof "\5bench\4test";
    if (length < HEADER + QUESTION_LENGTH || !(packet[2] & 0x80) || packet[3] & 15 || !(packet[6] | packet[7]))
        return 0;
    return packet[NAME_AT] < 5 && !memcmp(packet + NAME_AT + 1 + packet[NAME_AT], "\5bench\4test", end_of_name);
}

static void release(struct load *load, struct slot *slot)
{
    slot->waiting = 0;
    load->idle[load->idle_count++] = (int)(slot - load->slots);
}

static void take(struct load *load, const unsigned char *packet, size_t length)
{
    uint16_t id = length < 2 ? 0 : (uint16_t)(packet[0] << 8 | packet[1]);
    struct slot *slot = &load->slots[id & ((1 << SLOT_BITS) - 1)];
    if (length < HEADER || !slot->waiting || slot->id != id) {
        load->totals.unexpected++;
        return;
    }
    release(load, slot);
    if (load->totals.answered++ % CHECK_EVERY == 0 && load->look_into_answers) {
        load->totals.checked++;
        load->totals.bad += !is_good(packet, length);
    }
}

/* Take what answers there are, after waiting for the first of them for a tick at most. */
static void listen_once(struct load *load)
{
    static unsigned char packets[BATCH][LARGEST];
    static struct iovec buffers[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        buffers[i] = (struct iovec){packets[i], LARGEST};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &buffers[i], .msg_iovlen = 1};
    }
    int received = recvmmsg(load->socket, messages, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < received; i++)
        take(load, packets[i], messages[i].msg_len);
}

static void give_up_on_lost(struct load *load, double moment)
{
    for (int i = 0; i < load->outstanding; i++) {
        struct slot *slot = &load->slots[i];
        if (slot->waiting && moment - slot->sent_at > PATIENCE_MS / 1e3) {
            load->totals.lost++;
            release(load, slot);
        }
    }
}

static int open_socket(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval tick = {0, TICK_MS * 1000};
    int opened = socket(AF_INET, SOCK_DGRAM, 0);
    address.sin_port = htons((unsigned short)port);
    if (opened < 0 || connect(opened, (struct sockaddr *)&address, sizeof address) < 0 ||
        setsockopt(opened, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick) < 0) {
        perror("generator");
        exit(1);
    }
    return opened;
}

static size_t read_hexadecimal(const char *text, unsigned char *into)
{
    size_t length = 0;
    unsigned value;
    for (; length < LARGEST_COOKIE && sscanf(text + 2 * length, "%2x", &value) == 1; length++)
        into[length] = (unsigned char)value;
    return length;
}

/* The load itself; how many seconds it took. */
static double run(struct load *load, double seconds)
{
    double start = now(), end = start + seconds, looked_at = start, moment = start;
    while (moment < end) {
        ask(load);
        listen_once(load);
        moment = now();
        if (moment - looked_at > TICK_MS / 1e3) {
            give_up_on_lost(load, moment);
            looked_at = moment;
        }
    }
    /* What is under way still counts: the server has paid for it, or will. */
    while (load->idle_count < load->outstanding) {
        listen_once(load);
        give_up_on_lost(load, now());
    }
    return now() - start;
}

int main(int count, char **arguments)
{
    static struct load load;
    if (count != 8) {
        fprintf(stderr, "usage: generator PORT SECONDS NAMES OUTSTANDING SEED CHECKED COOKIE\n");
        return 2;
    }
    load.names = atoi(arguments[3]);
    load.outstanding = atoi(arguments[4]);
    load.random_state = strtoull(arguments[5], NULL, 10) * 0x9E3779B97F4A7C15ULL | 1;
    load.look_into_answers = atoi(arguments[6]);
    if (load.names < 1 || load.names > 1000 || load.outstanding < 1 || load.outstanding > MOST_OUTSTANDING) {
        fprintf(stderr, "generator: 1 to 1000 names, 1 to %d outstanding\n", MOST_OUTSTANDING);
        return 2;
    }
    if (arguments[7][0] != '-')
        load.cookie_length = read_hexadecimal(arguments[7], load.cookie);
    load.socket = open_socket(atoi(arguments[1]));
    for (int i = 0; i < load.outstanding; i++) {
        load.slots[i].id = (uint16_t)i;
        load.idle[load.idle_count++] = i;
    }
    double seconds = run(&load, atof(arguments[2]));
    struct totals *totals = &load.totals;
    printf("{\"seconds\": %.6f, \"sent\": %ld, \"answered\": %ld, \"lost\": %ld, \"unexpected\": %ld, "
           "\"checked\": %ld, \"bad\": %ld}\n",
           seconds, totals->sent, totals->answered, totals->lost, totals->unexpected, totals->checked, totals->bad);
    return 0;
}
