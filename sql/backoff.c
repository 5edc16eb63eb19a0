#include "sql/backoff.h"
#include "common/clock.h"

#include <stdlib.h>

#define LEAST_US (100 * US_PER_MS)
#define MOST_US US_PER_S

int64_t backoff_next_us(int64_t before_us)
{
    return MIN(MAX(before_us * 2, LEAST_US), MOST_US);
}

int64_t backoff_jitter_us(int64_t us)
{
    return us - us / 10 + (int64_t)((double)us / 5 * ((double)random() / RAND_MAX));
}
