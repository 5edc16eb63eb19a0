#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sql/budget.h"

static enum listen_kind listen = LISTEN_OFF;

static int ask(int workers, int max, bool is_auto, int allowed, char *warning_out)
{
    struct err warning;
    struct conf conf = {.workers = workers, .database = {.pool_max = max, .pool_auto = is_auto, .listen = listen}};
    int got = budget_pool_max(&conf, allowed, &warning);
    strcpy(warning_out, warning.text);
    return got;
}

static void what_fits_is_left_alone(void **state)
{
    char warning[1024];
    (void)state;
    assert_int_equal(ask(8, 10, true, 97, warning), 10);
    assert_string_equal(warning, "");
    assert_int_equal(ask(8, 12, false, 97, warning), 12); /* none are left for others, as somebody wanted */
    assert_string_equal(warning, "");
}

static void a_number_is_told_and_auto_is_cut(void **state)
{
    char warning[1024];
    (void)state;
    assert_int_equal(ask(8, 16, false, 97, warning), 16);
    assert_string_equal(warning, "8 workers x pool max 16 = 128 connections, the database allows 97");
    assert_int_equal(ask(8, 16, true, 97, warning), 11); /* 88 of 97 */
    assert_string_equal(
        warning, "8 workers x pool max 16 = 128 connections, the database allows 97: pool max=auto is cut to 11");
}

static void there_is_always_one(void **state)
{
    char warning[1024];
    (void)state;
    assert_int_equal(ask(60, 120, true, 17, warning), 1);
    assert_non_null(strstr(warning, "cut to 1"));
    assert_int_equal(ask(60, 1, true, 17, warning), 1);
    assert_string_equal(warning, "60 workers x pool max 1 = 60 connections, the database allows 17");
}

static void the_keeper_has_one_too(void **state)
{
    char warning[1024];
    (void)state;
    listen = LISTEN_AUTO;
    assert_int_equal(ask(8, 12, false, 96, warning), 12);
    assert_string_equal(warning, "8 workers x pool max 12 = 96 connections and one to listen, the database allows 96");
    listen = LISTEN_OFF;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_left_alone),
        cmocka_unit_test(a_number_is_told_and_auto_is_cut),
        cmocka_unit_test(there_is_always_one),
        cmocka_unit_test(the_keeper_has_one_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
