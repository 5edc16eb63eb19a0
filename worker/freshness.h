/* What a cache that many share may do with an upstream's answer: RFC 9111, and RFC 5861 for what is stale. Time is
 * given: this reads no clock. */
#ifndef WORKER_FRESHNESS_H
#define WORKER_FRESHNESS_H

#include "worker/cache_control.h"

struct arena;

/* The answer as it came. */
struct freshness_answer {
    int status;
    struct slice fields;   /* its header fields, lines of field_lines.h */
    bool with_credentials; /* what was asked for told the upstream who asks */
    int64_t wall_us;       /* when it came */
    int64_t delay_us;      /* how long it was waited for */
};

/* The route's own words on it; 0: none. */
struct freshness_rules {
    int64_t ttl_us;       /* of a success, in place of what the upstream says */
    int64_t negative_us;  /* the same of 404, 410 and the like */
    int64_t heuristic_us; /* at most, where the upstream does not say */
    int64_t stale_us;     /* in place of stale-while-revalidate */
    int64_t stale_if_error_us;
};

struct freshness {
    bool storable;
    bool forbidden;                      /* nobody may keep it: storable is false for more reasons */
    bool shareable;                      /* also with those who tell the upstream who they are (RFC 9111 3.5) */
    bool has_validator;                  /* the upstream can be asked whether it still holds */
    int64_t age_us;                      /* that it had when it came */
    int64_t fresh_us;                    /* it is fresh for so long from then on; not above 0: it is stale */
    int64_t stale_us, stale_if_error_us; /* of use after that, as CACHE_STALE and CACHE_SPARE */
};

/* arena: for what is put together on the way. */
struct freshness freshness_of(const struct freshness_answer *answer, const struct freshness_rules *rules,
                              struct arena *arena);
/* Of fresh_us so much that what came together does not end together, and never more. uniform: in (0, 1]. */
int64_t freshness_spread_us(int64_t fresh_us, double uniform);

#endif
