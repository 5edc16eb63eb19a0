#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "master/ctl/load/plan.h"
#include "tests/unit/arena_fixture.h"

#include <math.h>
#include <stdlib.h>

static void a_level_goes_evenly_from_stage_to_stage(void **state)
{
    static const struct stage stages[] = {{10 * US_PER_S, 100}, {0, 40}, {5 * US_PER_S, 40}, {4 * US_PER_S, 0}};
    const struct plan plan = {PLAN_USERS, stages, ARRAY_LEN(stages)};
    (void)state;
    assert_int_equal(plan_length_us(&plan), 19 * US_PER_S);
    assert_true(plan_peak(&plan) == 100);
    assert_true(plan_level(&plan, 0) == 0);
    assert_true(plan_level(&plan, 5 * US_PER_S) == 50);
    assert_true(plan_level(&plan, 10 * US_PER_S) == 40);
    assert_true(plan_level(&plan, 16 * US_PER_S) == 30);
    assert_true(plan_level(&plan, 19 * US_PER_S) == 0);
    assert_true(plan_level(&plan, 20 * US_PER_S) == 0);
}

/* As many as ramping-vus of k6 has: a rising ramp from 0 to 2 in 10 s has the first after 5 s, the second at its end; a
 * falling one loses the first after 5 s, the last at its end. */
static void users_come_at_the_end_of_their_rise_and_go_at_the_end_of_their_fall(void **state)
{
    static const struct stage stages[] = {{10 * US_PER_S, 2}, {10 * US_PER_S, 0}, {US_PER_S, 0}, {0, 3}, {US_PER_S, 3}};
    static const struct {
        int64_t at_ms;
        int users;
    } cases[] = {{0, 0},     {4999, 0},  {5000, 1},  {9999, 1},  {10000, 2}, {10001, 2}, {14999, 2}, {15000, 1},
                 {15001, 1}, {19999, 1}, {20000, 0}, {20999, 0}, {21000, 3}, {22000, 3}, {22001, 0}};
    const struct plan plan = {PLAN_USERS, stages, ARRAY_LEN(stages)};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (plan_users(&plan, cases[i].at_ms * US_PER_MS) != cases[i].users)
            fail_msg("at %lld ms: %d", (long long)cases[i].at_ms, plan_users(&plan, cases[i].at_ms * US_PER_MS));
}

static void a_constant_level_is_there_from_the_begin_to_the_end(void **state)
{
    (void)state;
    struct plan plan = plan_constant(PLAN_USERS, 7, US_PER_S, arena);
    assert_true(plan_level(&plan, 0) == 7 && plan_level(&plan, US_PER_S) == 7);
    assert_true(plan_level(&plan, US_PER_S + 1) == 0);
}

/* The last one, and how many there were. */
static int64_t last_arrival(const struct plan *plan, uint64_t *count_out)
{
    struct arrivals a = arrivals_of(plan);
    int64_t due_us = -1, last_us = -1;
    for (; arrivals_due(&a, &due_us); arrivals_pass(&a)) {
        assert_true(due_us >= last_us);
        last_us = due_us;
    }
    *count_out = a.next;
    return last_us;
}

static void a_constant_rate_is_even(void **state)
{
    (void)state;
    struct plan plan = plan_constant(PLAN_RATE, 100, 12 * US_PER_S, arena);
    struct arrivals a = arrivals_of(&plan);
    int64_t due_us;
    uint64_t count;
    for (int i = 0; i < 1200; i++, arrivals_pass(&a)) {
        assert_true(arrivals_due(&a, &due_us));
        assert_true(llabs(due_us - i * 10000) <= 1);
    }
    assert_false(arrivals_due(&a, &due_us));
    last_arrival(&plan, &count);
    assert_int_equal(count, 1200);
}

static void a_ramp_has_as_many_as_its_area(void **state)
{
    static const struct stage stages[] = {{10 * US_PER_S, 50}, {10 * US_PER_S, 50}, {10 * US_PER_S, 0}};
    const struct plan plan = {PLAN_RATE, stages, ARRAY_LEN(stages)};
    struct arrivals a = arrivals_of(&plan);
    int64_t due_us;
    uint64_t count;
    (void)state;
    for (int i = 0; i < 1000; i++, arrivals_pass(&a)) {
        assert_true(arrivals_due(&a, &due_us));
        double t = (double)due_us / 1e6, area = t < 10   ? 2.5 * t * t
                                                : t < 20 ? 250 + 50 * (t - 10)
                                                         : 1000 - 2.5 * (30 - t) * (30 - t);
        assert_true(fabs(area - i) < 0.001);
    }
    assert_true(last_arrival(&plan, &count) < 30 * US_PER_S);
    assert_int_equal(count, 1000);
}

static void a_pause_and_a_jump_are_passed(void **state)
{
    static const struct stage stages[] = {{US_PER_S, 0}, {0, 10}, {US_PER_S, 10}, {0, 0},
                                          {US_PER_S, 0}, {0, 2},  {US_PER_S, 2}};
    const struct plan plan = {PLAN_RATE, stages, ARRAY_LEN(stages)};
    struct arrivals a = arrivals_of(&plan);
    int64_t due_us;
    uint64_t count;
    (void)state;
    assert_true(arrivals_due(&a, &due_us));
    assert_int_equal(due_us, US_PER_S);
    assert_int_equal(last_arrival(&plan, &count), 3 * US_PER_S + US_PER_S / 2);
    assert_int_equal(count, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_level_goes_evenly_from_stage_to_stage),
        cmocka_unit_test(users_come_at_the_end_of_their_rise_and_go_at_the_end_of_their_fall),
        cmocka_unit_test(a_constant_level_is_there_from_the_begin_to_the_end),
        cmocka_unit_test(a_constant_rate_is_even),
        cmocka_unit_test(a_ramp_has_as_many_as_its_area),
        cmocka_unit_test(a_pause_and_a_jump_are_passed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
