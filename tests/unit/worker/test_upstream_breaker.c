#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/upstream_breaker.h"
#include "worker/upstream_budget.h"

static struct breaker b;

static int setup(void **state)
{
    (void)state;
    b = (struct breaker){0};
    return 0;
}

static void fail_often(int times, int64_t now_us)
{
    for (int i = 0; i < times; i++)
        assert_int_equal(breaker_failed(&b, false, now_us), i == BREAKER_FAILURES - 1);
}

static void failures_in_a_row_open_it(void **state)
{
    (void)state;
    fail_often(BREAKER_FAILURES - 1, 0);
    assert_int_equal(breaker_ask(&b, 0), BREAKER_ADMITS);
    assert_false(breaker_succeeded(&b));
    fail_often(BREAKER_FAILURES - 1, 0);
    assert_int_equal(breaker_ask(&b, 0), BREAKER_ADMITS);
    assert_true(breaker_failed(&b, false, 0));
    assert_int_equal(breaker_ask(&b, 0), BREAKER_REFUSES);
    assert_true(breaker_is_open(&b));
}

static void one_probe_at_a_time_closes_it(void **state)
{
    (void)state;
    fail_often(BREAKER_FAILURES, 0);
    assert_int_equal(breaker_ask(&b, BREAKER_LEAST_US - 1), BREAKER_REFUSES);
    assert_int_equal(breaker_ask(&b, BREAKER_LEAST_US), BREAKER_PROBES);
    assert_int_equal(breaker_ask(&b, BREAKER_LEAST_US), BREAKER_REFUSES);
    assert_true(breaker_succeeded(&b));
    assert_int_equal(breaker_ask(&b, BREAKER_LEAST_US), BREAKER_ADMITS);
    assert_false(breaker_is_open(&b));
}

static void each_failed_probe_doubles_the_wait_up_to_the_most(void **state)
{
    (void)state;
    int64_t now_us = 0, wait_us = BREAKER_LEAST_US;
    fail_often(BREAKER_FAILURES, now_us);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(breaker_ask(&b, now_us + wait_us - 1), BREAKER_REFUSES);
        now_us += wait_us;
        assert_int_equal(breaker_ask(&b, now_us), BREAKER_PROBES);
        assert_false(breaker_failed(&b, true, now_us));
        wait_us = MIN(2 * wait_us, BREAKER_MOST_US);
    }
    assert_int_equal(wait_us, BREAKER_MOST_US);
}

/* Requests that began before it opened fail one after the other: they neither prolong it nor end the probe. */
static void late_failures_tell_nothing_new(void **state)
{
    (void)state;
    fail_often(BREAKER_FAILURES, 0);
    fail_often(3, BREAKER_LEAST_US / 2);
    assert_int_equal(breaker_ask(&b, BREAKER_LEAST_US), BREAKER_PROBES);
    assert_false(breaker_failed(&b, false, BREAKER_LEAST_US));
    assert_int_equal(breaker_ask(&b, BREAKER_LEAST_US), BREAKER_REFUSES);
    assert_true(breaker_succeeded(&b));
}

static void a_probe_that_is_given_up_makes_room_for_another(void **state)
{
    (void)state;
    fail_often(BREAKER_FAILURES, 0);
    assert_int_equal(breaker_ask(&b, BREAKER_LEAST_US), BREAKER_PROBES);
    breaker_given_up(&b, false);
    assert_int_equal(breaker_ask(&b, BREAKER_LEAST_US), BREAKER_REFUSES);
    breaker_given_up(&b, true);
    assert_int_equal(breaker_ask(&b, BREAKER_LEAST_US), BREAKER_PROBES);
}

static int spend_all(struct retry_budget *budget)
{
    int spent = 0;
    while (retry_budget_spend(budget))
        spent++;
    return spent;
}

static void repetitions_are_a_tenth_of_the_requests(void **state)
{
    (void)state;
    struct retry_budget budget;
    retry_budget_init(&budget);
    assert_int_equal(spend_all(&budget), 10);
    for (int i = 0; i < 9; i++)
        retry_budget_earn(&budget);
    assert_int_equal(spend_all(&budget), 0);
    retry_budget_earn(&budget);
    assert_int_equal(spend_all(&budget), 1);
    for (int i = 0; i < 100000; i++)
        retry_budget_earn(&budget);
    assert_int_equal(spend_all(&budget), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(failures_in_a_row_open_it, setup),
        cmocka_unit_test_setup(one_probe_at_a_time_closes_it, setup),
        cmocka_unit_test_setup(each_failed_probe_doubles_the_wait_up_to_the_most, setup),
        cmocka_unit_test_setup(late_failures_tell_nothing_new, setup),
        cmocka_unit_test_setup(a_probe_that_is_given_up_makes_room_for_another, setup),
        cmocka_unit_test(repetitions_are_a_tenth_of_the_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
