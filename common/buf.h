/* A byte buffer that grows: what an answer, a log line or an envelope is written into. */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include "common/slice.h"

#include <string.h>

struct buf {
    char *at;
    size_t len;
    size_t cap;
};

void buf_deinit(struct buf *b);
void buf_grow(struct buf *b, size_t more); /* buf_reserve()'s */
void buf_adds(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);

/* Room for `more` bytes behind len. */
static inline void buf_reserve(struct buf *b, size_t more)
{
    if (b->cap - b->len < more)
        buf_grow(b, more);
}

static inline void buf_add(struct buf *b, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    buf_reserve(b, len);
    memcpy(b->at + b->len, bytes, len);
    b->len += len;
}

static inline void buf_addc(struct buf *b, char c)
{
    buf_reserve(b, 1);
    b->at[b->len++] = c;
}

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->at, b->len);
}

#endif
