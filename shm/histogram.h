/* Log-linear histogram of microseconds: 64 sub-buckets a power of two, up to 67 s, 1,344 buckets, at most 1.56 % wide.
 * count is the sum of the buckets. */
#ifndef SHM_HISTOGRAM_H
#define SHM_HISTOGRAM_H

#include "common/base.h"

enum { HISTOGRAM_BUCKETS = 1344 };

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

int histogram_bucket(int64_t us);       /* clamped at both ends */
int64_t histogram_upper_us(int bucket); /* the largest value that falls into it */
void histogram_add(struct histogram *sum, const struct histogram *h);
/* What came since earlier; never less than nothing, whatever is given. */
void histogram_subtract(struct histogram *from, const struct histogram *earlier);
uint64_t histogram_count(const struct histogram *h);
/* What all took together, at most 1.56 % too much, as each counts as the upper edge of its bucket. */
double histogram_sum_us(const struct histogram *h);
/* Upper edge of the bucket that holds the q-quantile (0 < q <= 1); -1 when empty. */
int64_t histogram_quantile_us(const struct histogram *h, double q);

#endif
