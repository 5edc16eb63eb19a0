#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "worker/upstream_idle.h"

static struct upstream_idle idle;
static struct idle_conn conns[4];

static int setup(void **state)
{
    (void)state;
    upstream_idle_init(&idle, 3, 90 * US_PER_S);
    for (size_t i = 0; i < ARRAY_LEN(conns); i++)
        conns[i] = (struct idle_conn){.ends_us = 1800 * US_PER_S};
    return 0;
}

static void put(int i, int64_t now_us)
{
    assert_null(upstream_idle_put(&idle, &conns[i], now_us));
}

static void the_last_one_used_is_taken_first(void **state)
{
    (void)state;
    put(0, 1);
    put(1, 2);
    put(2, 3);
    assert_ptr_equal(upstream_idle_take(&idle, 4), &conns[2]);
    put(2, 5);
    assert_ptr_equal(upstream_idle_take(&idle, 6), &conns[2]);
    assert_ptr_equal(upstream_idle_take(&idle, 6), &conns[1]);
    assert_ptr_equal(upstream_idle_take(&idle, 6), &conns[0]);
    assert_null(upstream_idle_take(&idle, 6));
}

static void one_too_many_costs_the_oldest(void **state)
{
    (void)state;
    put(0, 1);
    put(1, 2);
    put(2, 3);
    assert_ptr_equal(upstream_idle_put(&idle, &conns[3], 4), &conns[0]);
    assert_int_equal(idle.count, 3);
    assert_ptr_equal(upstream_idle_take(&idle, 5), &conns[3]);
}

static void none_is_kept_where_none_may_be(void **state)
{
    (void)state;
    upstream_idle_init(&idle, 0, 90 * US_PER_S);
    assert_ptr_equal(upstream_idle_put(&idle, &conns[0], 1), &conns[0]);
    assert_int_equal(idle.count, 0);
}

/* 90 seconds after its last use, and not a microsecond before. */
static void an_idle_one_ends_after_its_time(void **state)
{
    (void)state;
    put(0, 10 * US_PER_S);
    put(1, 20 * US_PER_S);
    assert_int_equal(upstream_idle_next_us(&idle), 100 * US_PER_S);
    assert_null(upstream_idle_expired(&idle, 100 * US_PER_S - 1));
    assert_ptr_equal(upstream_idle_expired(&idle, 100 * US_PER_S), &conns[0]);
    assert_null(upstream_idle_expired(&idle, 100 * US_PER_S));
    assert_int_equal(upstream_idle_next_us(&idle), 110 * US_PER_S);
    assert_null(upstream_idle_take(&idle, 110 * US_PER_S));
    assert_ptr_equal(upstream_idle_expired(&idle, 110 * US_PER_S), &conns[1]);
    assert_int_equal(upstream_idle_next_us(&idle), INT64_MAX);
}

static void its_other_end_may_want_it_sooner(void **state)
{
    (void)state;
    conns[0].most_us = 4 * US_PER_S;
    conns[1].most_us = 4000 * US_PER_S;
    put(0, 10 * US_PER_S);
    put(1, 10 * US_PER_S);
    assert_int_equal(upstream_idle_next_us(&idle), 14 * US_PER_S);
    assert_ptr_equal(upstream_idle_expired(&idle, 14 * US_PER_S), &conns[0]);
    assert_int_equal(upstream_idle_next_us(&idle), 100 * US_PER_S);
}

static void use_does_not_lengthen_a_life(void **state)
{
    (void)state;
    conns[0].ends_us = 95 * US_PER_S;
    put(0, 50 * US_PER_S);
    put(1, 60 * US_PER_S);
    assert_int_equal(upstream_idle_next_us(&idle), 95 * US_PER_S);
    assert_ptr_equal(upstream_idle_expired(&idle, 95 * US_PER_S), &conns[0]);
    conns[2].ends_us = 70 * US_PER_S;
    assert_ptr_equal(upstream_idle_put(&idle, &conns[2], 70 * US_PER_S), &conns[2]);
}

/* One whose life is over does not hide a younger one behind it. */
static void what_is_over_is_passed_by(void **state)
{
    (void)state;
    put(0, 1);
    conns[1].ends_us = 5;
    put(1, 2);
    assert_ptr_equal(upstream_idle_take(&idle, 5), &conns[0]);
    assert_ptr_equal(upstream_idle_expired(&idle, 5), &conns[1]);
    assert_int_equal(idle.count, 0);
}

static void any_one_can_be_lost(void **state)
{
    (void)state;
    put(0, 1);
    put(1, 2);
    put(2, 3);
    upstream_idle_remove(&idle, &conns[1]);
    upstream_idle_remove(&idle, &conns[2]);
    assert_ptr_equal(upstream_idle_take(&idle, 4), &conns[0]);
    assert_int_equal(idle.count, 0);
    put(1, 5);
    assert_ptr_equal(upstream_idle_take(&idle, 6), &conns[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_last_one_used_is_taken_first, setup),
        cmocka_unit_test_setup(one_too_many_costs_the_oldest, setup),
        cmocka_unit_test_setup(none_is_kept_where_none_may_be, setup),
        cmocka_unit_test_setup(an_idle_one_ends_after_its_time, setup),
        cmocka_unit_test_setup(its_other_end_may_want_it_sooner, setup),
        cmocka_unit_test_setup(use_does_not_lengthen_a_life, setup),
        cmocka_unit_test_setup(what_is_over_is_passed_by, setup),
        cmocka_unit_test_setup(any_one_can_be_lost, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
