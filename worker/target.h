/* A request target, split and decoded (RFC 3986): path segments and query pairs. */
#ifndef WORKER_TARGET_H
#define WORKER_TARGET_H

#include "common/arena.h"

enum { TARGET_SEGMENTS_MAX = 64, TARGET_PAIRS_MAX = 256 };

struct target_pair {
    struct slice name, value;
};

struct target {
    struct slice *segments; /* "/a/b" has two; "%2F" stays inside its segment; "+" stays "+" */
    int segment_count;
    struct target_pair *pairs; /* "+" is a space, as HTML forms write it */
    int pair_count;
};

/* raw: "/path?query"; the path may be empty, as behind the authority of an absolute form, and is "/" then.
 * NULL, or what is wrong: bad percent-encoding, a NUL byte, invalid UTF-8, too many parts, not an absolute path. */
const char *target_parse(struct slice raw, struct arena *arena, struct target *out);

#endif
