/* What the generator asks, and whether an answer has to do with it. */
#ifndef QUESTION_H
#define QUESTION_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEADER = 12,
    NAME_AT = HEADER,
    QUESTION_LENGTH = 18 + 4, /* \5n0000\5bench\4test\0 and type and class; www is two bytes shorter */
    MOST_NAMES = 10000,
    LARGEST_COOKIE = 40,
    CLIENT_COOKIE = 8,
};

struct wording {
    int names;
    unsigned char cookie[LARGEST_COOKIE];
    size_t cookie_length;
    uint64_t random_state;
};

/* xorshift64* (Vigna 2016): good enough for drawing, and costs next to nothing. */
static uint32_t draw(struct wording *wording)
{
    uint64_t x = wording->random_state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    wording->random_state = x;
    return (uint32_t)((x * 2685821657736338717ULL) >> 32);
}

/* The first 24 bits of a network that is routed on the Internet. */
static uint32_t draw_subnet(struct wording *wording)
{
    for (;;) {
        uint32_t network = draw(wording) >> 8;
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

static unsigned char *put_question(struct wording *wording, unsigned char *at)
{
    if (wording->names == 1) {
        memcpy(at, "\3www\5bench\4test\0\0\1\0\1", QUESTION_LENGTH - 2);
        return at + QUESTION_LENGTH - 2;
    }
    unsigned name = draw(wording) % (unsigned)wording->names;
    memcpy(at, "\5n0000\5bench\4test\0\0\1\0\1", QUESTION_LENGTH);
    for (int digit = 5; digit > 1; digit--, name /= 10)
        at[digit] = (unsigned char)('0' + name % 10);
    return at + QUESTION_LENGTH;
}

/* Write a query with this ID; its length. */
static size_t put_query(struct wording *wording, unsigned char *packet, uint16_t id, size_t cookie_length)
{
    static const unsigned char header[HEADER] = {0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1};
    memcpy(packet, header, HEADER);
    put16(packet, id);
    unsigned char *at = put_question(wording, packet + NAME_AT);
    static const unsigned char opt[] = {0, 0, 41, 1232 >> 8, 1232 & 255, 0, 0, 0, 0};
    memcpy(at, opt, sizeof opt);
    unsigned options = 4 + 4 + 3;
    if (cookie_length)
        options += 4 + (unsigned)cookie_length;
    at = put16(at + sizeof opt, options);
    uint32_t network = draw_subnet(wording);
    static const unsigned char subnet[] = {0, 8, 0, 7, 0, 1, 24, 0};
    memcpy(at, subnet, sizeof subnet);
    at += sizeof subnet;
    at = put16(at, network >> 8);
    *at++ = (unsigned char)network;
    if (cookie_length) {
        at = put16(at, 10);
        at = put16(at, (unsigned)cookie_length);
        memcpy(at, wording->cookie, cookie_length);
        at += cookie_length;
    }
    return (size_t)(at - packet);
}

/* Whether it is a response without an error and with an answer to a name of the world. */
static int is_good(const unsigned char *packet, size_t length)
{
    size_t end_of_name = sizeof "\5bench\4test";
    if (length < HEADER + QUESTION_LENGTH || !(packet[2] & 0x80) || packet[3] & 15 || !(packet[6] | packet[7]))
        return 0;
    return packet[NAME_AT] < 6 && !memcmp(packet + NAME_AT + 1 + packet[NAME_AT], "\5bench\4test", end_of_name);
}

#endif
