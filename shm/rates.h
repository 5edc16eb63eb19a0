/* Token buckets of consumers, shared by all processes: a table of {key, time} in sets of eight. The time is when the
 * bucket is full again, which is all that there is to know of it (the generic cell rate algorithm: ITU-T I.371, there
 * TAT). Nothing here takes a lock or waits: a request is counted by one compare-and-swap. An entry whose time has come
 * says nothing and may become another's.
 *
 * Where eight consumers in one set all have been here lately, a ninth is not counted and passes. One request may be
 * counted for nobody where two processes meet at an entry that just changes hands. */
#ifndef SHM_RATES_H
#define SHM_RATES_H

#include "common/slice.h"

struct rates;

size_t rates_bytes(void); /* of the control segment */
enum { RATES_SET_BYTES = 128 };
/* Once, in zeroed memory: keys depend on a secret, so that nobody can choose to meet another. */
void rates_init(struct rates *rates);

struct rate {
    int64_t interval_ns; /* of two requests, evenly */
    int64_t burst_ns;    /* as many intervals as requests may come at once */
};

struct rate_verdict {
    bool passes;
    bool counted;    /* false: there was no room */
    int64_t left;    /* requests that would pass now */
    int64_t wait_us; /* until the next one would pass, where none would now; else until it is full again */
};

/* Of the consumer `name` where `scope` limits it. */
uint64_t rates_key(const struct rates *rates, struct slice scope, struct slice name);
struct rate_verdict rates_take(struct rates *rates, uint64_t key, const struct rate *rate, int64_t now_us) MUST_USE;

#endif
