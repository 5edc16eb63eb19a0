#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "worker/http_date.h"

#define NOON_1994 784111777 /* RFC 9110's example: Sun, 06 Nov 1994 08:49:37 GMT */
#define NEW_YEAR_2020 1577836800

static void dates_are_read_in_all_their_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t unix_s;
    } dates[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", NOON_1994},
        {"Sunday, 06-Nov-94 08:49:37 GMT", NOON_1994},
        {"Sun Nov  6 08:49:37 1994", NOON_1994},
        {"Sun Nov 06 08:49:37 1994", NOON_1994},
        {"sun, 06 nov 1994 08:49:37 gmt", NOON_1994},
        {"SUNDAY, 06-NOV-94 08:49:37 GMT", NOON_1994},
        {"Sun, 06 Nov 1994 08:49:37 UTC", NOON_1994},
        {"Mon, 06 Nov 1994 08:49:37 GMT", NOON_1994}, /* the day's name is not compared */
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Wed, 31 Dec 1969 23:59:59 GMT", -1},
        {"Wed, 01 Jan 2020 00:00:00 GMT", NEW_YEAR_2020},
        {"Sat, 29 Feb 2020 00:00:00 GMT", 1582934400},
        {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
        {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800}, /* a leap second */
        {"Fri, 31 Dec 9999 23:59:59 GMT", INT64_C(253402300799)},
        {"Tue, 19 Jan 2038 03:14:08 GMT", INT64_C(2147483648)},
        {"Fri Jan 15 12:00:00 2021", 1610712000},
    };
    for (size_t i = 0; i < ARRAY_LEN(dates); i++) {
        int64_t unix_s;
        if (!http_date_parse(slice_str(dates[i].text), NEW_YEAR_2020, &unix_s) || unix_s != dates[i].unix_s)
            fail_msg("%s", dates[i].text);
    }
}

static void a_year_of_two_digits_is_near(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *same;
    } dates[] = {
        {"Wednesday, 01-Jan-20 00:00:00 GMT", "Wed, 01 Jan 2020 00:00:00 GMT"},
        {"Saturday, 01-Jan-70 00:00:00 GMT", "Sat, 01 Jan 2070 00:00:00 GMT"}, /* 50 years ahead */
        {"Friday, 01-Jan-71 00:00:00 GMT", "Fri, 01 Jan 1971 00:00:00 GMT"},
        {"Friday, 31-Dec-99 00:00:00 GMT", "Fri, 31 Dec 1999 00:00:00 GMT"},
        {"Saturday, 01-Jan-00 00:00:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"},
    };
    for (size_t i = 0; i < ARRAY_LEN(dates); i++) {
        int64_t unix_s, same_s;
        assert_true(http_date_parse(slice_str(dates[i].same), NEW_YEAR_2020, &same_s));
        if (!http_date_parse(slice_str(dates[i].text), NEW_YEAR_2020, &unix_s) || unix_s != same_s)
            fail_msg("%s", dates[i].text);
    }
}

static void what_is_no_date_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "0",
                                        "-1",
                                        "now",
                                        "Sun, 06 Nov 1994",
                                        "Sun, 6 Nov 1994 08:49:37 GMT",
                                        "Sun, 06 Nov 94 08:49:37 GMT",
                                        "Sun 06 Nov 1994 08:49:37 GMT",
                                        "Sun, 06-Nov-1994 08:49:37 GMT",
                                        "Sun, 06 Nov 1994 08:49:37",
                                        "Sun, 06 Nov 1994 08:49:37 +0000",
                                        "Sun, 06 Nov 1994 08:49:37 PST",
                                        "Sun, 06 Nov 1994 08:49:37 CET",
                                        "Sun, 06 Nov 1994 08:49:37 GMT ",
                                        "Sun, 06 Nov 1994 08:49:37 GMTX",
                                        "Sun, 06 Nov 1994 24:00:00 GMT",
                                        "Sun, 06 Nov 1994 08:60:37 GMT",
                                        "Sun, 06 Nov 1994 08:49:61 GMT",
                                        "Sun, 00 Nov 1994 08:49:37 GMT",
                                        "Sun, 31 Nov 1994 08:49:37 GMT",
                                        "Sun, 29 Feb 1994 08:49:37 GMT",
                                        "Sun, 06 Foo 1994 08:49:37 GMT",
                                        "Foo, 06 Nov 1994 08:49:37 GMT",
                                        "Sun, 06 Nov 1994 8:49:37 GMT",
                                        "Sun,  06 Nov 1994 08:49:37 GMT",
                                        "Sun, 06 Nov 1994 08-49-37 GMT",
                                        "Sun, 06-Nov-94 08:49:37 GMT",
                                        "Sunday, 06 Nov 1994 08:49:37 GMT",
                                        "Sun Nov 6 08:49:37 1994",
                                        "Sun Nov  6 08:49:37 1994 GMT",
                                        "1994-11-06T08:49:37Z",
                                        "784111777"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        int64_t unix_s;
        if (http_date_parse(slice_str(texts[i]), NEW_YEAR_2020, &unix_s))
            fail_msg("%s", texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_read_in_all_their_forms),
        cmocka_unit_test(a_year_of_two_digits_is_near),
        cmocka_unit_test(what_is_no_date_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
