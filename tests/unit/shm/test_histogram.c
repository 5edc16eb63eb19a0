#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "shm/histogram.h"

static void every_value_lies_below_its_buckets_edge_and_near_it(void **state)
{
    (void)state;
    for (int64_t us = 0; us < INT64_C(67108864); us += 1 + us / 1000) {
        int bucket = histogram_bucket(us);
        int64_t upper = histogram_upper_us(bucket);
        assert_in_range(bucket, 0, HISTOGRAM_BUCKETS - 1);
        assert_true(upper >= us && (upper - us) * 64 <= us);
        assert_true(bucket == 0 || histogram_upper_us(bucket - 1) < us);
    }
}

static void both_ends_are_clamped(void **state)
{
    (void)state;
    assert_int_equal(histogram_bucket(-5), 0);
    assert_int_equal(histogram_bucket(67108863), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bucket(INT64_MAX), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_upper_us(HISTOGRAM_BUCKETS - 1), 67108863);
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* splitmix64: in (0, 1]. */
static double uniform(void)
{
    static uint64_t state = 42;
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return ((double)((z ^ (z >> 31)) >> 11) + 1) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

/* Microseconds, as latencies come: even ones, those of a queue, of a service with a long tail, of a heavier one, of
 * hits beside misses, and those of a clock that knows milliseconds. */
static double evenly(void)
{
    return 1e6 * uniform();
}

static double of_a_queue(void)
{
    return -5000 * log(uniform());
}

static double of_a_service(void)
{
    return exp(8 + 1.2 * normal());
}

static double heavy(void)
{
    return 100 * pow(uniform(), -1 / 1.3);
}

static double hits_and_misses(void)
{
    return uniform() < 0.9 ? 8 + 2 * fabs(normal()) : 20000 + 3000 * fabs(normal());
}

static double of_a_coarse_clock(void)
{
    return 1000 * floor(40 * uniform());
}

static void compare(double draw(void), int64_t *values, int count)
{
    static const double quantiles[] = {0.001, 0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 1};
    struct histogram h = {0};
    for (int i = 0; i < count; i++) {
        values[i] = (int64_t)fmin(draw(), 67e6);
        h.buckets[histogram_bucket(values[i])]++;
    }
    qsort(values, (size_t)count, sizeof *values, ascending);
    assert_int_equal(histogram_count(&h), count);
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        int64_t exact = values[(int)ceil(quantiles[i] * count) - 1], got = histogram_quantile_us(&h, quantiles[i]);
        if (got < exact || (double)(got - exact) > 0.016 * (double)exact)
            fail_msg("quantile %g: %lld us, by an exact sort %lld", quantiles[i], (long long)got, (long long)exact);
    }
}

/* PERCENTILE_SAMPLES=10000000: scripts/check --long. */
static void quantiles_agree_with_an_exact_sort(void **state)
{
    (void)state;
    static double (*const draws[])(void) = {evenly, of_a_queue,      of_a_service,
                                            heavy,  hits_and_misses, of_a_coarse_clock};
    const char *samples = getenv("PERCENTILE_SAMPLES");
    int count = samples != NULL ? atoi(samples) : 100000;
    int64_t *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < ARRAY_LEN(draws); i++)
        compare(draws[i], values, count);
    free(values);
}

static void an_empty_histogram_has_no_quantile(void **state)
{
    (void)state;
    struct histogram *h = calloc(1, sizeof *h);
    assert_int_equal(histogram_quantile_us(h, 0.5), -1);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_lies_below_its_buckets_edge_and_near_it),
        cmocka_unit_test(both_ends_are_clamped),
        cmocka_unit_test(quantiles_agree_with_an_exact_sort),
        cmocka_unit_test(an_empty_histogram_has_no_quantile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
