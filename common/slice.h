/* A borrowed run of bytes, not terminated. */
#ifndef COMMON_SLICE_H
#define COMMON_SLICE_H

#include "common/base.h"

#include <string.h>
#include <strings.h>

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

/* The same whatever the case of its letters, as HTTP compares names (RFC 9110 5.1). */
static inline bool slice_same(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.at, b.at, a.len) == 0);
}

static inline bool slice_begins(struct slice a, struct slice with) /* likewise */
{
    return a.len >= with.len && slice_same(slice_of(a.at, with.len), with);
}

static inline bool slice_ends(struct slice a, struct slice with) /* likewise */
{
    return a.len >= with.len && slice_same(slice_of(a.at + a.len - with.len, with.len), with);
}

/* Without the blanks and tabs around it: HTTP's optional white space (RFC 9110 5.6.3). */
static inline struct slice slice_trimmed(struct slice s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = slice_of(s.at + 1, s.len - 1);
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

#endif
