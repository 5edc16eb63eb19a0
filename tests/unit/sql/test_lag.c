#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/clock.h"
#include "sql/lag.h"

#define MAX_US (10 * US_PER_S)

static struct lag lag;

static void primary_at(uint64_t written, uint64_t inserted, uint64_t seq, int64_t asked_us)
{
    const struct lag_place place = {false, written, inserted, "monday"};
    lag_note_primary(&lag, &place, seq, asked_us);
}

static void replica_has(uint64_t received, uint64_t replayed, int64_t complete_us, uint64_t seq)
{
    const struct lag_place place = {true, received, replayed, "tuesday"};
    struct lag_verdict verdict = lag_judge(&lag, &place, 100 * US_PER_S);
    assert_int_equal(verdict.complete_us, complete_us);
    assert_int_equal(verdict.seq, seq);
}

static int begin(void **state)
{
    (void)state;
    lag_init(&lag, MAX_US);
    return 0;
}

static void positions_are_read(void **state)
{
    (void)state;
    assert_int_equal(lag_position("16/B374D848"), UINT64_C(0x16B374D848));
    assert_int_equal(lag_position("0/0"), 0);
    assert_int_equal(lag_position(""), 0);
}

static void nothing_is_known_before_the_primary_was_asked(void **state)
{
    (void)state;
    replica_has(1000, 1000, 0, 0);
}

static void a_replica_is_as_late_as_the_newest_place_that_it_passed(void **state)
{
    (void)state;
    primary_at(1000, 1000, 5, 1 * US_PER_S);
    primary_at(2000, 2000, 6, 2 * US_PER_S);
    primary_at(3000, 3000, 9, 3 * US_PER_S);
    replica_has(3000, 999, 0, 0);
    replica_has(3000, 1000, 1 * US_PER_S, 5);
    replica_has(3000, 2999, 2 * US_PER_S, 6);
    replica_has(3000, 3000, 3 * US_PER_S, 9);
}

static void a_quiet_primary_is_no_lag(void **state)
{
    (void)state;
    for (int i = 1; i <= 50; i++)
        primary_at(1000, 1000, 5, i * US_PER_S);
    replica_has(1000, 1000, 50 * US_PER_S, 5);
    replica_has(1000, 999, 0, 0);
}

/* An asynchronous commit is not written yet when it is acknowledged and its tags are raised. */
static void what_is_not_written_yet_is_not_passed(void **state)
{
    (void)state;
    primary_at(1000, 1000, 5, 1 * US_PER_S);
    primary_at(1000, 1500, 6, 2 * US_PER_S);
    replica_has(1000, 1000, 2 * US_PER_S, 5);
    replica_has(1500, 1500, 2 * US_PER_S, 6);
}

/* After a switch to a new segment the next record begins behind a header that no replica ever replays. */
static void the_header_of_a_page_is_not_waited_for(void **state)
{
    (void)state;
    primary_at(0x3000000, 0x3000028, 7, US_PER_S);
    replica_has(0x3000000, 0x3000000, US_PER_S, 7);
}

static void samples_reach_back_for_the_lag_that_is_allowed(void **state)
{
    (void)state;
    for (int i = 1; i <= 400; i++) /* 20 s, four times as many as there is room for */
        primary_at((uint64_t)i, (uint64_t)i, (uint64_t)i, i * US_PER_S / 20);
    replica_has(0, 400, 20 * US_PER_S, 400);
    const struct lag_place place = {true, 400, 220, "tuesday"};
    int64_t complete_us = lag_judge(&lag, &place, 0).complete_us;
    assert_in_range(complete_us, 11 * US_PER_S - MAX_US / 60 * 2, 11 * US_PER_S);
}

static void without_a_primary_a_replica_is_as_good_as_what_it_received(void **state)
{
    (void)state;
    primary_at(2000, 2000, 6, 2 * US_PER_S);
    lag_note_primary_away(&lag);
    replica_has(2100, 2100, 100 * US_PER_S, 6);
    replica_has(2100, 2050, 2 * US_PER_S, 6);
    replica_has(0, 1000, 100 * US_PER_S, 0); /* it reads archives */
    primary_at(2100, 2100, 7, 3 * US_PER_S);
    replica_has(2100, 2100, 3 * US_PER_S, 7);
}

static void one_that_was_promoted_is_the_primary_or_nobody(void **state)
{
    (void)state;
    struct lag_place place = {false, 5000, 5000, "monday"};
    primary_at(2000, 2000, 6, 2 * US_PER_S);
    assert_int_equal(lag_judge(&lag, &place, 9).complete_us, 9);
    assert_int_equal(lag_judge(&lag, &place, 9).seq, 6);
    strcpy(place.started, "tuesday");
    assert_int_equal(lag_judge(&lag, &place, 9).complete_us, 0);
    lag_note_primary_away(&lag);
    assert_int_equal(lag_judge(&lag, &place, 9).complete_us, 9);
    assert_int_equal(lag_judge(&lag, &place, 9).seq, 0);
}

/* The new primary may have lost what the old one wrote last. */
static void a_new_primary_may_be_behind_the_old_one(void **state)
{
    (void)state;
    primary_at(9000, 9000, 6, 2 * US_PER_S);
    primary_at(5000, 5000, 7, 3 * US_PER_S);
    replica_has(5000, 5000, 3 * US_PER_S, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_are_read),
        cmocka_unit_test_setup(nothing_is_known_before_the_primary_was_asked, begin),
        cmocka_unit_test_setup(a_replica_is_as_late_as_the_newest_place_that_it_passed, begin),
        cmocka_unit_test_setup(a_quiet_primary_is_no_lag, begin),
        cmocka_unit_test_setup(what_is_not_written_yet_is_not_passed, begin),
        cmocka_unit_test_setup(the_header_of_a_page_is_not_waited_for, begin),
        cmocka_unit_test_setup(samples_reach_back_for_the_lag_that_is_allowed, begin),
        cmocka_unit_test_setup(without_a_primary_a_replica_is_as_good_as_what_it_received, begin),
        cmocka_unit_test_setup(one_that_was_promoted_is_the_primary_or_nobody, begin),
        cmocka_unit_test_setup(a_new_primary_may_be_behind_the_old_one, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
