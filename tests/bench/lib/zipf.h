/* Ranks from 0 by Zipf's law: rank r comes with a weight of (r + 1)^-exponent. */
#ifndef BENCH_ZIPF_H
#define BENCH_ZIPF_H

#include "common/base.h"

double *zipf_create(uint32_t count, double exponent) MUST_USE; /* sums of the weights; to be freed */
/* uniform: a random number in [0, 1). */
uint32_t zipf_rank(const double *sums, uint32_t count, double uniform);

#endif
