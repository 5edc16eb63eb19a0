/* The field Cache-Control of answers (RFC 9111 5.2.2, RFC 5861).
 *
 * Where it can be read in two ways, the one is taken that keeps less: of a directive that stands twice the first
 * counts; a number that is none is 0; no-cache="field" and private="field" are of the whole answer; what is not read to
 * its end, since a quote is not closed, is not stored. */
#ifndef WORKER_CACHE_CONTROL_H
#define WORKER_CACHE_CONTROL_H

#include "common/slice.h"

/* What a larger number of seconds is taken for (RFC 9111 1.2.2). */
#define CACHE_CONTROL_SECONDS_MAX (INT64_C(1) << 31)
enum { CACHE_CONTROL_NONE = -1 };

struct cache_control {
    bool no_store, no_cache, is_private, is_public;
    bool must_revalidate, proxy_revalidate, must_understand;
    int64_t max_age_s, s_maxage_s, stale_while_revalidate_s, stale_if_error_s; /* CACHE_CONTROL_NONE: not given */
};

/* list: of all its lines, with commas between them; empty: none is given. */
struct cache_control cache_control_parse(struct slice list);
/* Digits alone, as far as they are seconds that somebody may mean; CACHE_CONTROL_NONE: it is something else. */
int64_t cache_control_seconds(struct slice text);

#endif
