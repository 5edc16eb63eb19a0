#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "master/memory_level.h"

static struct memory_level_state state;
static struct memory_level_rules rules;
static bool cache_has_given;

static int setup(void **unused)
{
    (void)unused;
    state = (struct memory_level_state){0};
    rules = (struct memory_level_rules){85, 90};
    cache_has_given = false;
    return 0;
}

static enum memory_level stalled(int percent, double some, double full)
{
    const struct memory_use use = {
        .used_bytes = percent, .limit.bytes = 100, .some_percent = some, .full_percent = full};
    return memory_level_next(&state, &rules, &use, cache_has_given);
}

static enum memory_level at(int percent)
{
    return stalled(percent, 0, 0);
}

/* How many samples at this percentage until the level is another one. */
static int samples_until_it_changes(int percent)
{
    enum memory_level before = state.level;
    int samples = 1;
    while (at(percent) == before)
        assert_true(samples++ < 100);
    return samples;
}

static void it_rises_at_once(void **unused)
{
    (void)unused;
    assert_int_equal(at(84), MEMORY_CALM);
    assert_int_equal(at(85), MEMORY_ALERT);
    assert_int_equal(at(89), MEMORY_ALERT);
    assert_int_equal(at(90), MEMORY_SHRINK);
}

static void the_cache_shrinks_before_misses_are_refused(void **unused)
{
    (void)unused;
    assert_int_equal(at(95), MEMORY_SHRINK);
    assert_int_equal(samples_until_it_changes(95), MEMORY_SHRINK_SAMPLES);
    assert_int_equal(state.level, MEMORY_SHED);
}

static void none_is_refused_where_shrinking_helps(void **unused)
{
    (void)unused;
    assert_int_equal(at(95), MEMORY_SHRINK);
    assert_int_equal(at(91), MEMORY_SHRINK);
    for (int i = 0; i < 20; i++)
        assert_int_equal(at(87), MEMORY_SHRINK);
    assert_int_equal(at(91), MEMORY_SHRINK);
    assert_int_equal(at(91), MEMORY_SHRINK);
    assert_int_equal(at(91), MEMORY_SHED);
}

static void a_cache_with_nothing_left_is_not_waited_for(void **unused)
{
    (void)unused;
    cache_has_given = true;
    assert_int_equal(at(95), MEMORY_SHRINK);
    assert_int_equal(at(95), MEMORY_SHED);
}

static void it_falls_when_it_is_well_below_for_a_while(void **unused)
{
    (void)unused;
    cache_has_given = true;
    at(95), at(95);
    for (int i = 0; i < 50; i++)
        assert_int_equal(at(86), MEMORY_SHED);
    assert_int_equal(samples_until_it_changes(84), MEMORY_CALM_SAMPLES);
    assert_int_equal(state.level, MEMORY_ALERT);
    for (int i = 0; i < 50; i++)
        assert_int_equal(at(81), MEMORY_ALERT);
    assert_int_equal(samples_until_it_changes(79), MEMORY_CALM_SAMPLES);
    assert_int_equal(state.level, MEMORY_CALM);
}

static void a_dip_is_not_a_while(void **unused)
{
    (void)unused;
    assert_int_equal(at(85), MEMORY_ALERT);
    for (int i = 0; i < 20; i++) {
        for (int k = 1; k < MEMORY_CALM_SAMPLES; k++)
            assert_int_equal(at(10), MEMORY_ALERT);
        assert_int_equal(at(82), MEMORY_ALERT);
    }
}

static void from_the_top_it_may_fall_to_the_bottom(void **unused)
{
    (void)unused;
    cache_has_given = true;
    at(95), at(95);
    assert_int_equal(samples_until_it_changes(10), MEMORY_CALM_SAMPLES);
    assert_int_equal(state.level, MEMORY_CALM);
}

static void stalls_alert_and_shed_nothing(void **unused)
{
    (void)unused;
    assert_int_equal(stalled(10, 19, 4), MEMORY_CALM);
    assert_int_equal(stalled(10, 20, 0), MEMORY_ALERT);
    for (int i = 0; i < 20; i++)
        assert_int_equal(stalled(10, 15, 0), MEMORY_ALERT);
    assert_int_equal(samples_until_it_changes(10), MEMORY_CALM_SAMPLES);
    for (int i = 0; i < 20; i++)
        assert_int_equal(stalled(10, 100, 5), MEMORY_ALERT);
}

static void off_is_off(void **unused)
{
    (void)unused;
    rules = (struct memory_level_rules){0, 90};
    assert_int_equal(stalled(89, 100, 100), MEMORY_CALM);
    assert_int_equal(at(90), MEMORY_SHRINK);
    assert_int_equal(samples_until_it_changes(84), MEMORY_CALM_SAMPLES);
    assert_int_equal(state.level, MEMORY_CALM);
    rules = (struct memory_level_rules){85, 0};
    for (int i = 0; i < 20; i++)
        assert_int_equal(at(100), MEMORY_ALERT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(it_rises_at_once, setup),
        cmocka_unit_test_setup(the_cache_shrinks_before_misses_are_refused, setup),
        cmocka_unit_test_setup(none_is_refused_where_shrinking_helps, setup),
        cmocka_unit_test_setup(a_cache_with_nothing_left_is_not_waited_for, setup),
        cmocka_unit_test_setup(it_falls_when_it_is_well_below_for_a_while, setup),
        cmocka_unit_test_setup(a_dip_is_not_a_while, setup),
        cmocka_unit_test_setup(from_the_top_it_may_fall_to_the_bottom, setup),
        cmocka_unit_test_setup(stalls_alert_and_shed_nothing, setup),
        cmocka_unit_test_setup(off_is_off, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
