#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "master/memory_growth.h"

enum { SOFT = 1000000, HARD = 2000000, FAR_ABOVE = SOFT * 12 / 10, OLD = GROWTH_YOUNG_SAMPLES };

static struct growth growth;
static struct growth_of of;

static void start_another(void)
{
    of = (struct growth_of){.pid = of.pid + 1};
}

static int setup(void **unused)
{
    (void)unused;
    growth = (struct growth){0};
    of = (struct growth_of){.pid = 100};
    return 0;
}

static enum growth_verdict judge(int64_t bytes, int64_t age_samples)
{
    const struct growth_sample sample = {SOFT, HARD, bytes, age_samples, true};
    growth_tick(&growth);
    return growth_judge(&growth, &of, &sample);
}

/* Samples far above from this age on, until something is decided; how many there were. */
static int samples_until(enum growth_verdict verdict, int64_t age_samples)
{
    for (int samples = 1; samples < 10000; samples++) {
        enum growth_verdict found = judge(FAR_ABOVE, age_samples + samples - 1);
        if (found == verdict)
            return samples;
        assert_int_equal(found, GROWTH_NONE);
    }
    return -1;
}

static void who_is_below_is_left_alone(void **unused)
{
    (void)unused;
    for (int age = 0; age < 1000; age++)
        assert_int_equal(judge(SOFT * 9 / 10 - SOFT / 1000, age), GROWTH_NONE);
}

static void three_samples_in_a_row_are_asked_for(void **unused)
{
    (void)unused;
    for (int i = 0; i < 100; i++)
        assert_int_equal(judge(i % 3 == 2 ? SOFT / 2 : FAR_ABOVE, 1000 + i), GROWTH_NONE);
    start_another();
    assert_int_equal(samples_until(GROWTH_REPLACE, 1000), GROWTH_OVER_SAMPLES);
}

static void one_at_a_time(void **unused)
{
    (void)unused;
    assert_int_equal(samples_until(GROWTH_REPLACE, OLD), GROWTH_OVER_SAMPLES);
    start_another();
    assert_int_equal(samples_until(GROWTH_REPLACE, OLD), GROWTH_APART_SAMPLES);
}

static void never_while_others_do_not_serve(void **unused)
{
    (void)unused;
    const struct growth_sample sample = {SOFT, HARD, FAR_ABOVE, 1000, false};
    for (int i = 0; i < 100; i++)
        assert_int_equal(growth_judge(&growth, &of, &sample), GROWTH_NONE);
}

static void who_passes_it_young_tells_that_the_limit_is_wrong(void **unused)
{
    (void)unused;
    assert_int_equal(samples_until(GROWTH_LIMIT_WRONG, 1), GROWTH_OVER_SAMPLES);
    for (int age = GROWTH_OVER_SAMPLES + 1; age < 2 * GROWTH_YOUNG_SAMPLES; age++)
        assert_int_equal(judge(FAR_ABOVE, age), GROWTH_NONE);
    assert_int_equal(judge(FAR_ABOVE, 2 * GROWTH_YOUNG_SAMPLES), GROWTH_REPLACE);
}

static void and_each_such_worker_doubles_the_age(void **unused)
{
    (void)unused;
    int64_t least = GROWTH_YOUNG_SAMPLES;
    assert_int_equal(samples_until(GROWTH_LIMIT_WRONG, 1), GROWTH_OVER_SAMPLES);
    for (int i = 0; i < 20; i++) {
        least = MIN(2 * least, (int64_t)GROWTH_AGE_MOST_SAMPLES);
        assert_int_equal(judge(FAR_ABOVE, least - 1), GROWTH_NONE);
        assert_int_equal(judge(FAR_ABOVE, least), GROWTH_REPLACE);
        start_another();
        for (int age = 1; age <= 10; age++)
            assert_int_equal(judge(FAR_ABOVE, age), GROWTH_NONE); /* said once */
    }
    assert_int_equal(least, GROWTH_AGE_MOST_SAMPLES);
}

static void a_replacement_that_was_of_use_forgets_that(void **unused)
{
    (void)unused;
    assert_int_equal(samples_until(GROWTH_LIMIT_WRONG, 1), GROWTH_OVER_SAMPLES);
    assert_int_equal(judge(FAR_ABOVE, 2 * OLD), GROWTH_REPLACE);
    start_another();
    for (int age = 0; age <= 2 * OLD; age++)
        assert_int_equal(judge(SOFT / 2, age), GROWTH_NONE);
    assert_int_equal(samples_until(GROWTH_REPLACE, 2 * OLD), GROWTH_OVER_SAMPLES);
    start_another();
    assert_int_equal(samples_until(GROWTH_REPLACE, OLD), GROWTH_APART_SAMPLES);
    start_another();
    assert_int_equal(samples_until(GROWTH_LIMIT_WRONG, 1), GROWTH_OVER_SAMPLES);
}

static void above_the_hard_limit_it_is_killed_at_once(void **unused)
{
    (void)unused;
    assert_int_equal(judge(HARD, 0), GROWTH_NONE);
    assert_int_equal(judge(HARD + 1, 0), GROWTH_KILL);
}

static void off_is_off(void **unused)
{
    (void)unused;
    struct growth_sample sample = {0, 0, INT64_MAX, 1000, true};
    for (int i = 0; i < 10; i++)
        assert_int_equal(growth_judge(&growth, &of, &sample), GROWTH_NONE);
}

static void the_jitter_is_a_tenth_either_way(void **unused)
{
    (void)unused;
    int64_t least = INT64_MAX, most = 0;
    for (int pid = 1000; pid < 3000; pid++) {
        least = MIN(least, growth_soft_bytes(SOFT, pid));
        most = MAX(most, growth_soft_bytes(SOFT, pid));
    }
    assert_in_range(least, SOFT * 90 / 100, SOFT * 91 / 100);
    assert_in_range(most, SOFT * 109 / 100, SOFT * 110 / 100);
    assert_int_not_equal(growth_soft_bytes(SOFT, 500), growth_soft_bytes(SOFT, 501));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(who_is_below_is_left_alone, setup),
        cmocka_unit_test_setup(three_samples_in_a_row_are_asked_for, setup),
        cmocka_unit_test_setup(one_at_a_time, setup),
        cmocka_unit_test_setup(never_while_others_do_not_serve, setup),
        cmocka_unit_test_setup(who_passes_it_young_tells_that_the_limit_is_wrong, setup),
        cmocka_unit_test_setup(and_each_such_worker_doubles_the_age, setup),
        cmocka_unit_test_setup(a_replacement_that_was_of_use_forgets_that, setup),
        cmocka_unit_test_setup(above_the_hard_limit_it_is_killed_at_once, setup),
        cmocka_unit_test_setup(off_is_off, setup),
        cmocka_unit_test_setup(the_jitter_is_a_tenth_either_way, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
