/* Which worker has grown too large, decided anew with each sample of its private memory, one a second. Above the soft
 * limit it is to be replaced, if it was so for a while and is old enough; above the hard one to be killed. */
#ifndef MASTER_MEMORY_GROWTH_H
#define MASTER_MEMORY_GROWTH_H

#include "common/base.h"

enum {
    GROWTH_OVER_SAMPLES = 3,   /* above the soft limit in a row */
    GROWTH_YOUNG_SAMPLES = 60, /* who passes it so soon does so by its nature: the limit is wrong */
    GROWTH_APART_SAMPLES = 10, /* between two replacements */
    GROWTH_AGE_MOST_SAMPLES = 3600,
    GROWTH_JITTER_PERCENT = 10 /* either way: workers that grow alike are not all due at once */
};

enum growth_verdict {
    GROWTH_NONE,
    GROWTH_LIMIT_WRONG, /* said once, until a replacement was of use again: the limit is too low for what workers do */
    GROWTH_REPLACE,
    GROWTH_KILL
};

/* Of one process; zeroed at its start. */
struct growth_of {
    int pid;
    int over;
    bool young; /* it was over when it was young */
};

/* Of all. Each worker that passes the limit young doubles the age that others must have before they are replaced. */
struct growth {
    int64_t age_least_samples; /* 0: as at the start, GROWTH_YOUNG_SAMPLES */
    int64_t since_replaced_samples;
    bool replaced, told;
};

struct growth_sample {
    int64_t soft_bytes, hard_bytes; /* 0: off */
    int64_t bytes;
    int64_t age_samples;
    bool replaceable; /* it serves, and so do all others */
};

void growth_tick(struct growth *growth); /* before the samples of a second */
enum growth_verdict growth_judge(struct growth *growth, struct growth_of *of, const struct growth_sample *sample);
int64_t growth_soft_bytes(int64_t soft_bytes, int pid); /* with this process's jitter */

#endif
