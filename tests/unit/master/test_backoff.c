#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "master/backoff.h"

#define MOST_US (30 * US_PER_S)

static struct backoff backoff;
static int64_t now_us;

static int setup(void **unused)
{
    (void)unused;
    backoff = (struct backoff){0};
    now_us = 1000 * US_PER_S;
    return 0;
}

/* It dies after it lived for so long; how long the slot then waits. */
static int64_t wait_after(int64_t lived_us)
{
    int64_t started_us = now_us;
    now_us += lived_us;
    backoff_died(&backoff, started_us, now_us);
    int64_t wait_us = backoff_until_us(&backoff, false) - now_us;
    now_us += wait_us;
    return wait_us;
}

static void assert_about(int64_t wait_us, int64_t expected_us)
{
    assert_in_range(wait_us, expected_us - expected_us / 4, expected_us + expected_us / 4);
}

static void the_first_death_costs_no_wait(void **unused)
{
    (void)unused;
    assert_int_equal(wait_after(0), 0);
}

static void then_it_doubles_to_half_a_minute(void **unused)
{
    (void)unused;
    wait_after(0);
    for (int64_t expected_us = 100 * US_PER_MS; expected_us < MOST_US; expected_us *= 2)
        assert_about(wait_after(0), expected_us);
    for (int i = 0; i < 100; i++)
        assert_about(wait_after(59 * US_PER_S), MOST_US);
}

static void those_that_die_together_do_not_come_back_together(void **unused)
{
    (void)unused;
    int64_t least_us = INT64_MAX, most_us = 0;
    for (int i = 0; i < 200; i++) {
        backoff = (struct backoff){.failures = 20};
        int64_t wait_us = wait_after(0);
        least_us = MIN(least_us, wait_us);
        most_us = MAX(most_us, wait_us);
    }
    assert_in_range(least_us, MOST_US * 75 / 100, MOST_US * 80 / 100);
    assert_in_range(most_us, MOST_US * 120 / 100, MOST_US * 125 / 100);
}

static void a_minute_of_health_is_a_new_beginning(void **unused)
{
    (void)unused;
    for (int i = 0; i < 10; i++)
        wait_after(0);
    assert_int_equal(wait_after(60 * US_PER_S), 0);
    assert_about(wait_after(0), 100 * US_PER_MS);
}

static void so_is_what_is_forgotten(void **unused)
{
    (void)unused;
    for (int i = 0; i < 10; i++)
        wait_after(0);
    backoff_died(&backoff, now_us, now_us);
    backoff_forget(&backoff);
    assert_true(backoff_until_us(&backoff, false) <= now_us);
    assert_int_equal(wait_after(0), 0);
}

static void the_last_one_waits_for_a_second_at_most(void **unused)
{
    (void)unused;
    backoff_died(&backoff, now_us, now_us);
    backoff_died(&backoff, now_us, now_us);
    assert_int_equal(backoff_until_us(&backoff, true), backoff_until_us(&backoff, false));
    for (int i = 0; i < 10; i++)
        backoff_died(&backoff, now_us, now_us);
    assert_int_equal(backoff_until_us(&backoff, true), now_us + US_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_first_death_costs_no_wait, setup),
        cmocka_unit_test_setup(then_it_doubles_to_half_a_minute, setup),
        cmocka_unit_test_setup(those_that_die_together_do_not_come_back_together, setup),
        cmocka_unit_test_setup(a_minute_of_health_is_a_new_beginning, setup),
        cmocka_unit_test_setup(so_is_what_is_forgotten, setup),
        cmocka_unit_test_setup(the_last_one_waits_for_a_second_at_most, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
