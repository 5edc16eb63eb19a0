#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"

static void assert_stamp(int64_t unix_s)
{
    char found[CLOCK_STAMP_BYTES], wanted[64];
    struct tm tm;
    time_t s = (time_t)unix_s;
    gmtime_r(&s, &tm);
    strftime(wanted, sizeof wanted, "%Y-%m-%dT%H:%M:%S", &tm);
    clock_stamp(unix_s * US_PER_S + 999999, found);
    assert_string_equal(found, wanted);
}

static void a_stamp_is_the_calendars(void **unused)
{
    (void)unused;
    enum { DAY_S = 86400, YEARS = 500 };
    for (int64_t day = 0; day < YEARS * INT64_C(366); day++) {
        assert_stamp(day * DAY_S);
        assert_stamp(day * DAY_S + day * 7919 % DAY_S);
        assert_stamp(day * DAY_S + DAY_S - 1);
    }
}

static void a_time_that_cannot_be_is_no_harm(void **unused)
{
    (void)unused;
    char stamp[CLOCK_STAMP_BYTES];
    clock_stamp(INT64_MIN, stamp);
    assert_string_equal(stamp, "1970-01-01T00:00:00");
    clock_stamp(INT64_MAX, stamp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stamp_is_the_calendars),
        cmocka_unit_test(a_time_that_cannot_be_is_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
