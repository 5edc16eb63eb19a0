#include "shm/histogram.h"

/* Values up to 63 have a bucket each; above, the power of two gives the group and the six bits behind its leading one
 * the bucket in it. */
enum { SUB_BITS = 6, SUBS = 1 << SUB_BITS };

int histogram_bucket(int64_t us)
{
    if (us < SUBS)
        return us < 0 ? 0 : (int)us;
    int shift = 63 - __builtin_clzll((uint64_t)us) - SUB_BITS;
    int64_t bucket = (int64_t)shift * SUBS + (us >> shift);
    return bucket < HISTOGRAM_BUCKETS ? (int)bucket : HISTOGRAM_BUCKETS - 1;
}

int64_t histogram_upper_us(int bucket)
{
    if (bucket < SUBS)
        return bucket;
    int shift = bucket / SUBS - 1;
    return ((int64_t)(bucket % SUBS + SUBS + 1) << shift) - 1;
}

void histogram_add(struct histogram *sum, const struct histogram *h)
{
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum->buckets[i] += h->buckets[i];
}

void histogram_subtract(struct histogram *from, const struct histogram *earlier)
{
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        from->buckets[i] -= MIN(from->buckets[i], earlier->buckets[i]);
}

uint64_t histogram_count(const struct histogram *h)
{
    uint64_t count = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        count += h->buckets[i];
    return count;
}

double histogram_sum_us(const struct histogram *h)
{
    double sum = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum += (double)h->buckets[i] * (double)histogram_upper_us(i);
    return sum;
}

int64_t histogram_quantile_us(const struct histogram *h, double q)
{
    uint64_t count = histogram_count(h), seen = 0;
    if (count == 0)
        return -1;
    /* The nearest-rank definition: the smallest value with at least q of all values at or below it. */
    double wanted = q * (double)count;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > 0 && (double)seen >= wanted)
            return histogram_upper_us(i);
    }
    return histogram_upper_us(HISTOGRAM_BUCKETS - 1);
}
