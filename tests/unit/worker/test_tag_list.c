#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "worker/tag_list.h"

/* Its tags, each in brackets. */
static const char *tags_of(const char *payload)
{
    static char text[200];
    char room[100], *at = text;
    struct slice tag;
    *at = '\0';
    while (tag_list_next(&payload, room, &tag))
        at += sprintf(at, "[%.*s]", SLICE_ARG(tag));
    return text;
}

static void commas_separate_tags(void **state)
{
    (void)state;
    assert_string_equal(tags_of("users"), "[users]");
    assert_string_equal(tags_of("users,user:7,*"), "[users][user:7][*]");
}

static void empty_ones_are_none(void **state)
{
    (void)state;
    assert_string_equal(tags_of(""), "");
    assert_string_equal(tags_of(",,"), "");
    assert_string_equal(tags_of(",users,,posts,"), "[users][posts]");
}

static void a_backslash_takes_the_next_byte_along(void **state)
{
    (void)state;
    assert_string_equal(tags_of("a\\,b,c"), "[a,b][c]");
    assert_string_equal(tags_of("a\\\\,b"), "[a\\][b]");
    assert_string_equal(tags_of("\\,,\\\\\\,"), "[,][\\,]");
    assert_string_equal(tags_of("a\\"), "[a\\]");
}

static void blanks_are_bytes_like_others(void **state)
{
    (void)state;
    assert_string_equal(tags_of("a b, c"), "[a b][ c]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_separate_tags),
        cmocka_unit_test(empty_ones_are_none),
        cmocka_unit_test(a_backslash_takes_the_next_byte_along),
        cmocka_unit_test(blanks_are_bytes_like_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
