#include "master/backoff.h"
#include "common/clock.h"

#include <stdlib.h>

#define HEALTHY_US (60 * US_PER_S)
#define LEAST_US (100 * US_PER_MS)
#define MOST_US (30 * US_PER_S)

void backoff_died(struct backoff *b, int64_t started_us, int64_t now_us)
{
    if (now_us - started_us >= HEALTHY_US)
        b->failures = 0;
    int64_t delay_us = b->failures == 0 ? 0 : MIN(LEAST_US << MIN(b->failures - 1, 20), MOST_US);
    delay_us += delay_us / 4 - (int64_t)((double)delay_us / 2 * ((double)random() / RAND_MAX));
    b->failures++;
    b->died_us = now_us;
    b->start_at_us = now_us + delay_us;
}

void backoff_forget(struct backoff *b)
{
    *b = (struct backoff){0};
}

int64_t backoff_until_us(const struct backoff *b, bool alone)
{
    return alone ? MIN(b->start_at_us, b->died_us + BACKOFF_ALONE_US) : b->start_at_us;
}
