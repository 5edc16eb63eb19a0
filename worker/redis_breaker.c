#include "worker/redis_breaker.h"
#include "common/clock.h"
#include "sql/backoff.h"

#define SLOW_LEAST_US (100 * US_PER_MS)
#define SLOW_MOST_US (30 * US_PER_S)
#define WELL_US (10 * US_PER_S)

void redis_breaker_up(struct redis_breaker *b, int64_t now_us)
{
    b->up_since_us = now_us;
    b->probe_us = 0;
}

int64_t redis_breaker_down(struct redis_breaker *b, bool slow, int64_t now_us)
{
    bool was_up = b->up_since_us != 0;
    if (was_up && now_us - b->up_since_us >= WELL_US)
        b->slow_us = 0;
    b->up_since_us = 0;
    if (was_up && slow)
        b->slow_us = MIN(MAX(b->slow_us * 2, SLOW_LEAST_US), SLOW_MOST_US);
    b->probe_us = backoff_next_us(b->probe_us);
    return was_up && slow ? b->slow_us : b->probe_us;
}
