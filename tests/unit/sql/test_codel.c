#include "common/clock.h"
#include "sql/codel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS US_PER_MS

/* One request a ms leaves the line from from_ms to to_ms, each having waited so long. How many were shed. */
static int leave(struct codel *c, int64_t from_ms, int64_t to_ms, int64_t wait_us)
{
    int shed = 0;
    for (int64_t ms = from_ms; ms < to_ms; ms++)
        shed += codel_sheds(c, wait_us, ms * MS);
    return shed;
}

static void a_burst_is_let_through(void **state)
{
    (void)state;
    struct codel c = {.limit_us = 100 * MS};
    assert_int_equal(leave(&c, 1000, 1020, 50 * MS), 0);
    assert_int_equal(leave(&c, 1020, 1025, 0), 0);
    assert_int_equal(leave(&c, 1025, 1045, 50 * MS), 0);
}

static void a_standing_line_sheds_whom_it_kept_too_long(void **state)
{
    (void)state;
    struct codel c = {.limit_us = 100 * MS};
    assert_int_equal(leave(&c, 1000, 1025, 50 * MS), 0);
    assert_int_equal(leave(&c, 1025, 1040, 50 * MS), 15);
    assert_int_equal(leave(&c, 1040, 1045, 10 * MS), 0);
}

static void it_recovers_within_an_interval(void **state)
{
    (void)state;
    struct codel c = {.limit_us = 100 * MS};
    leave(&c, 1000, 1040, 50 * MS);
    assert_int_equal(leave(&c, 1040, 1075, 1 * MS), 0);
    assert_int_equal(leave(&c, 1075, 1095, 50 * MS), 0);
}

static void slow_queries_may_wait_for_each_other(void **state)
{
    (void)state;
    struct codel c = {.limit_us = 1000 * MS};
    for (int i = 0; i < 100; i++)
        codel_served(&c, 100 * MS);
    assert_int_equal(leave(&c, 1000, 1500, 300 * MS), 0);
    assert_int_equal(leave(&c, 1500, 2000, 190 * MS), 0);
    assert_int_equal(leave(&c, 2000, 2500, 300 * MS), 500);
}

static void but_not_until_their_time_is_over(void **state)
{
    (void)state;
    struct codel c = {.limit_us = 1000 * MS};
    codel_served(&c, 5000 * MS);
    assert_int_equal(leave(&c, 1000, 1500, 600 * MS), 0);
    assert_int_equal(leave(&c, 1500, 2000, 490 * MS), 0);
    assert_int_equal(leave(&c, 2000, 2500, 600 * MS), 500);
}

static void one_slow_query_does_not_put_it_off(void **state)
{
    (void)state;
    struct codel c = {.limit_us = 100 * MS};
    leave(&c, 1000, 1010, 50 * MS);
    codel_served(&c, 500 * MS);
    leave(&c, 1010, 1011, 50 * MS);
    for (int i = 0; i < 100; i++)
        codel_served(&c, 1 * MS);
    leave(&c, 1011, 1300, 50 * MS);
    assert_int_equal(leave(&c, 1300, 1350, 50 * MS), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_is_let_through),
        cmocka_unit_test(a_standing_line_sheds_whom_it_kept_too_long),
        cmocka_unit_test(it_recovers_within_an_interval),
        cmocka_unit_test(slow_queries_may_wait_for_each_other),
        cmocka_unit_test(but_not_until_their_time_is_over),
        cmocka_unit_test(one_slow_query_does_not_put_it_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
