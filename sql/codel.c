#include "sql/codel.h"

enum { LIMIT_TARGETS = 20, LIMIT_TARGETS_LEAST = 4, INTERVAL_TARGETS = 5, LIMIT_INTERVALS = 2 };
enum { SHED_TARGETS = 2, FADE_SHARE = 16 };

void codel_served(struct codel *c, int64_t run_us)
{
    c->service_us = MAX(run_us, c->service_us - c->service_us / FADE_SHARE);
}

static int64_t target_us(const struct codel *c)
{
    return MIN(MAX(c->service_us, c->limit_us / LIMIT_TARGETS), c->limit_us / LIMIT_TARGETS_LEAST);
}

static int64_t interval_us(const struct codel *c)
{
    return MIN(INTERVAL_TARGETS * target_us(c), c->limit_us / LIMIT_INTERVALS);
}

bool codel_sheds(struct codel *c, int64_t wait_us, int64_t now_us)
{
    if (c->begun_us == 0 || now_us - c->begun_us >= interval_us(c)) {
        c->stands = c->begun_us > 0 && c->least_us > target_us(c);
        c->begun_us = now_us;
        c->least_us = wait_us;
    }
    c->least_us = MIN(c->least_us, wait_us);
    return c->stands && wait_us > SHED_TARGETS * target_us(c);
}
