/* As much of HTTP/1.1 as the programs of the edge benchmark need of each other's heads. */
#ifndef HEADS_H
#define HEADS_H

#include <stdlib.h>
#include <string.h>

/* Bytes up to the empty line and with it, or 0 while it is missing. */
static inline size_t head_length(const char *text, size_t length)
{
    const char *end = memmem(text, length, "\r\n\r\n", 4);
    return end ? (size_t)(end - text) + 4 : 0;
}

/* The value of a field, or NULL. head: ends in a NUL. name: as in "\ncontent-length:". */
static inline const char *field_of(const char *head, const char *name)
{
    const char *found = strcasestr(head, name);
    if (!found)
        return NULL;
    found += strlen(name);
    return found + strspn(found, " \t");
}

/* What Content-Length says, or -1. */
static inline long body_length(const char *head)
{
    const char *value = field_of(head, "\ncontent-length:");
    return value ? strtol(value, NULL, 10) : -1;
}

static inline int wants_to_close(const char *head)
{
    const char *value = field_of(head, "\nconnection:");
    return value && strncasecmp(value, "close", 5) == 0;
}

#endif
