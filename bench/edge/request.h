/* What the load of the edge benchmark asks: one request of a browser, or one that always differs a little. */
#ifndef REQUEST_H
#define REQUEST_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { LARGEST_REQUEST = 2048, PATH_DIGITS = 12, COOKIE_DIGITS = 32 };

/* upload: bytes of the body, which is not in `text`. The marks are where the random digits stand. */
struct wording {
    const char *path;
    long upload;
    int varied;
    uint64_t random_state;
    size_t length, path_mark, cookie_mark;
    char text[LARGEST_REQUEST];
};

/* The request with twelve ordinary fields. */
static inline void make_request(struct wording *wording)
{
    static const char cookie[] = "Cookie: theme=dark; consent=1; session=";
    const char *method = wording->upload ? "POST " : "GET ";
    char body[64] = "";
    if (wording->upload)
        snprintf(body, sizeof body, "Content-Length: %ld\r\n", wording->upload);
    wording->length = (size_t)snprintf(
        wording->text, sizeof wording->text,
        "%s%s%s HTTP/1.1\r\n"
        "Host: www.bench.test\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
        "Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"
        "Accept-Encoding: gzip, deflate, br, zstd\r\n"
        "Referer: https://www.bench.test/products/overview\r\n"
        "Connection: keep-alive\r\n"
        "%s%032d\r\n"
        "Upgrade-Insecure-Requests: 1\r\n"
        "Sec-Fetch-Dest: document\r\n"
        "Sec-Fetch-Mode: navigate\r\n"
        "Sec-Fetch-Site: same-origin\r\n"
        "%s\r\n",
        method, wording->path, wording->varied ? "/000000000000" : "", cookie, 0, body);
    wording->path_mark = strlen(method) + strlen(wording->path) + 1;
    wording->cookie_mark = (size_t)(strstr(wording->text, cookie) - wording->text) + strlen(cookie);
}

static inline void put_digits(uint64_t *random_state, char *target, int count)
{
    for (int i = 0; i < count; i++) {
        if (i % PATH_DIGITS == 0) { /* xorshift64 */
            *random_state ^= *random_state << 13;
            *random_state ^= *random_state >> 7;
            *random_state ^= *random_state << 17;
        }
        target[i] = "0123456789abcdef"[*random_state >> (4 * (i % PATH_DIGITS)) & 15];
    }
}

/* Put the next request into `target`. */
static inline void put_request(struct wording *wording, char *target)
{
    memcpy(target, wording->text, wording->length);
    if (wording->varied) {
        put_digits(&wording->random_state, target + wording->path_mark, PATH_DIGITS);
        put_digits(&wording->random_state, target + wording->cookie_mark, COOKIE_DIGITS);
    }
}

#endif
