/* A byte buffer that grows: what an answer, a log line or an envelope is written into. */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include "common/slice.h"

struct buf {
    char *at;
    size_t len;
    size_t cap;
};

void buf_deinit(struct buf *b);
void buf_reserve(struct buf *b, size_t more); /* room for `more` bytes behind len */
void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_addc(struct buf *b, char c);
void buf_adds(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->at, b->len);
}

#endif
