#include "sql/timing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct timing measured(int fast, int slow)
{
    struct timing t = {0};
    for (int i = 0; i < fast; i++)
        timing_add_alone(&t, 50);
    for (int i = 0; i < slow; i++)
        timing_add_alone(&t, 20000);
    return t;
}

static bool is_short(struct timing t)
{
    return timing_is_short(&t);
}

static void short_is_what_was_measured_to_be(void **state)
{
    (void)state;
    assert_false(is_short(measured(0, 0)));
    assert_false(is_short(measured(15, 0)));
    assert_true(is_short(measured(16, 0)));
    assert_false(is_short(measured(0, 16)));
}

static void one_of_a_hundred_may_be_slow(void **state)
{
    (void)state;
    assert_true(is_short(measured(198, 2)));
    assert_false(is_short(measured(197, 3)));
}

static void old_times_fade(void **state)
{
    (void)state;
    struct timing t = measured(0, 100);
    for (int i = 0; i < 20000; i++)
        timing_add_alone(&t, 50);
    assert_true(timing_is_short(&t));
    for (int i = 0; i < 100; i++)
        timing_add_alone(&t, 20000);
    assert_false(timing_is_short(&t));
}

static void some_are_measured_alone(void **state)
{
    (void)state;
    struct timing t = measured(100, 0);
    int alone = 0;
    for (int i = 0; i < 6400; i++)
        alone += timing_wants_probe(&t);
    assert_int_equal(alone, 100);
    timing_suspect(&t);
    for (int i = 0; i < 16; i++)
        assert_true(timing_wants_probe(&t));
    assert_false(timing_wants_probe(&t));
}

static void the_mean_follows(void **state)
{
    (void)state;
    struct timing t = measured(100, 0);
    assert_int_equal(t.mean_us, 50);
    for (int i = 0; i < 200; i++)
        timing_add_share(&t, 10);
    assert_in_range(t.mean_us, 10, 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_is_what_was_measured_to_be),
        cmocka_unit_test(one_of_a_hundred_may_be_slow),
        cmocka_unit_test(old_times_fade),
        cmocka_unit_test(some_are_measured_alone),
        cmocka_unit_test(the_mean_follows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
