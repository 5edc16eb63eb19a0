/* A borrowed run of bytes, not terminated. */
#ifndef COMMON_SLICE_H
#define COMMON_SLICE_H

#include "common/base.h"

#include <string.h>

struct slice {
    const char *at;
    size_t len;
};

#define SLICE_FMT "%.*s"
#define SLICE_ARG(s) (int)(s).len, (s).at

/* Of a string literal. */
#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})

static inline struct slice slice_of(const char *at, size_t len)
{
    return (struct slice){at, len};
}

static inline struct slice slice_str(const char *s)
{
    return (struct slice){s, s ? strlen(s) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool slice_is(struct slice a, const char *s)
{
    return slice_eq(a, slice_str(s));
}

#endif
