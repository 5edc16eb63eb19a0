#include "tests/bench/lib/zipf.h"

#include <math.h>

double *zipf_create(uint32_t count, double exponent)
{
    double sum = 0, *sums = xmalloc(count * sizeof *sums);
    for (uint32_t i = 0; i < count; i++)
        sums[i] = sum += pow(i + 1, -exponent);
    return sums;
}

uint32_t zipf_rank(const double *sums, uint32_t count, double uniform)
{
    double wanted = uniform * sums[count - 1];
    uint32_t low = 0, high = count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (sums[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
