#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "master/ctl/format.h"

static void figures_are_rounded_to_three_digits(void **state)
{
    (void)state;
    assert_string_equal(format_us(850).s, "850 us");
    assert_string_equal(format_us(12345).s, "12.3 ms");
    assert_string_equal(format_us(4560000).s, "4.56 s");
    assert_string_equal(format_bytes(1 << 20).s, "1.00 MB");
    assert_string_equal(format_count(-1234567).s, "-1,234,567");
    assert_string_equal(format_bytes(2000).s, "1.95 KB");
    assert_string_equal(format_percent(1, 0).s, "-");
    assert_string_equal(format_age(INT64_C(3841000000)).s, "1h04m");
}

static void little_is_not_nothing(void **state)
{
    (void)state;
    assert_string_equal(format_rate(0).s, "0 /s");
    assert_string_equal(format_rate(0.00167).s, "0.0017 /s");
    assert_string_equal(format_rate(0.05).s, "0.050 /s");
    assert_string_equal(format_percent(0, 5).s, "0.0 %");
    assert_string_equal(format_percent(1, 100000).s, "<0.1 %");
    assert_string_equal(format_percent(1, 2000).s, "0.1 %");
}

static void a_quantile_of_few_samples_is_marked(void **state)
{
    (void)state;
    struct histogram h = {0};
    assert_string_equal(format_quantile(&h, 0.99).s, "-");
    h.buckets[histogram_bucket(50)] = 999;
    assert_string_equal(format_quantile(&h, 0.99).s, "~50 us");
    h.buckets[histogram_bucket(50)] = 1000;
    assert_string_equal(format_quantile(&h, 0.99).s, "50 us");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_rounded_to_three_digits),
        cmocka_unit_test(little_is_not_nothing),
        cmocka_unit_test(a_quantile_of_few_samples_is_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
