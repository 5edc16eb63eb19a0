#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
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

static void quantiles_agree_with_an_exact_sort(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    static const double quantiles[] = {0.001, 0.5, 0.9, 0.95, 0.99, 0.999, 1};
    struct histogram *h = calloc(1, sizeof *h);
    int64_t *values = malloc(COUNT * sizeof *values);
    uint64_t seed = 42;
    for (int i = 0; i < COUNT; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        values[i] = (int64_t)((seed >> 33) % (UINT64_C(1) << (seed >> 60)) * (1 + (seed >> 40) % 97));
        h->buckets[histogram_bucket(values[i])]++;
    }
    qsort(values, COUNT, sizeof *values, ascending);
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        int64_t exact = values[(int)(quantiles[i] * COUNT + 0.999999) - 1];
        int64_t got = histogram_quantile_us(h, quantiles[i]);
        assert_true(got >= exact && (got - exact) * 64 <= exact);
    }
    assert_int_equal(histogram_count(h), COUNT);
    free(values);
    free(h);
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
