#include "master/ctl/advise/lifetime.h"
#include "common/clock.h"

#include <math.h>

/* Without a hit nothing is known but that it is too short. */
static const double kept = 0.95, least_growth = 2, most_growth = 10;

/* Two digits of milliseconds, rounded up: figures are estimates. */
static int64_t round_up(double us)
{
    double ms = us / (double)US_PER_MS, digit = 1;
    while (ms / digit >= 100)
        digit *= 10;
    return (int64_t)(ceil(ms / digit) * digit) * US_PER_MS;
}

static int64_t grow(int64_t us, double growth)
{
    return round_up((double)us * MIN(MAX(growth, least_growth), most_growth));
}

int64_t lifetime_ttl_us(int64_t ttl_us, int64_t hits, int64_t expired)
{
    double hits_now = (double)hits / (double)expired, hits_then = kept / (1 - kept);
    return grow(ttl_us, hits > 0 ? hits_then / hits_now : most_growth);
}

int64_t lifetime_tti_us(int64_t tti_us, int64_t hits, int64_t idle, int64_t ttl_us)
{
    double gone = (double)idle / ((double)hits + (double)idle);
    int64_t us = grow(tti_us, hits > 0 ? log(1 - kept) / log(gone) : most_growth);
    return ttl_us > 0 ? MIN(us, ttl_us) : us;
}
