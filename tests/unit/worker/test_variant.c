#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/arena_fixture.h"
#include "worker/field_lines.h"
#include "worker/variant.h"

enum { LANGUAGE = 1, AUTHORIZATION = 2, TENANT = 4, COOKIE = 8, ACCEPT = 16 };

static const char *names[] = {"Accept-Language", "authorization", "X-Tenant", "Cookie", "Accept"};
static const struct conf_strings forward = {names, ARRAY_LEN(names)};

static const struct slice *values_of(const char *fields)
{
    struct slice *values = arena_alloc(arena, sizeof *values * ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        values[i] = field_lines_list(slice_str(fields), names[i], arena);
    return values;
}

static struct slice key_of(const char *fields, uint32_t mask)
{
    return variant_key(SLICE("key"), values_of(fields), mask, arena);
}

static bool same(uint32_t mask, const char *one, const char *other)
{
    return slice_eq(key_of(one, mask), key_of(other, mask));
}

static void what_a_field_is_for_is_known_by_its_name(void **state)
{
    (void)state;
    static const struct conf_strings none = {0};
    assert_int_equal(variant_always(&forward), TENANT);
    assert_int_equal(variant_credentials(&forward), AUTHORIZATION | COOKIE);
    assert_int_equal(variant_always(&none) | variant_credentials(&none) | variant_named(&none, SLICE("Accept")), 0);
}

static void vary_names_fields_in_whatever_way(void **state)
{
    (void)state;
    static const struct {
        const char *vary;
        uint32_t mask;
    } rows[] = {
        {"", 0},
        {"Accept", ACCEPT},
        {"accept", ACCEPT},
        {"Accept-Language", LANGUAGE},
        {"Accept, Accept-Language", ACCEPT | LANGUAGE},
        {"Accept,Accept-Language", ACCEPT | LANGUAGE},
        {" ,\tACCEPT ,, X-TENANT , ", ACCEPT | TENANT},
        {"Authorization, Cookie", AUTHORIZATION | COOKIE},
        {"Accept-Encoding, User-Agent, Origin", 0}, /* nothing that is passed on */
        {"Accept-", 0},
        {"Acc", 0},
        {"XAccept", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (variant_named(&forward, slice_str(rows[i].vary)) != rows[i].mask)
            fail_msg("%s", rows[i].vary);
    assert_int_equal(variant_named(&forward, slice_of(NULL, 0)), 0);
}

static void what_was_sent_is_seen(void **state)
{
    (void)state;
    const struct slice *values = values_of("Cookie: a=b\r\nX-Tenant:\r\n");
    assert_int_equal(variant_sent(values, 0x1f), COOKIE | TENANT);
    assert_int_equal(variant_sent(values, variant_credentials(&forward)), COOKIE);
    assert_int_equal(variant_sent(values, LANGUAGE), 0);
}

static void without_fields_the_key_is_itself(void **state)
{
    (void)state;
    assert_true(slice_is(key_of("Accept: a\r\n", 0), "key"));
}

static void keys_are_the_same_for_the_same_values(void **state)
{
    (void)state;
    assert_true(same(ACCEPT, "Accept: a\r\n", "Accept: a\r\n"));
    assert_true(same(ACCEPT, "Accept: a\r\n", "ACCEPT:   a  \r\nCookie: c\r\n"));
    assert_true(same(ACCEPT, "", "X-Tenant: t\r\n"));
    assert_true(same(ACCEPT | LANGUAGE, "Accept: a\r\nAccept-Language: l\r\n", "Accept-Language: l\r\nAccept: a\r\n"));
    assert_true(same(ACCEPT, "Accept: a\r\nAccept: b\r\n", "Accept: a, b\r\n"));
}

static void keys_differ_where_anything_does(void **state)
{
    (void)state;
    assert_false(same(ACCEPT, "Accept: a\r\n", "Accept: b\r\n"));
    assert_false(same(ACCEPT, "Accept: a\r\n", "Accept: A\r\n"));
    assert_false(same(ACCEPT, "Accept: a\r\n", ""));
    assert_false(same(ACCEPT, "Accept:\r\n", ""));
    assert_false(same(ACCEPT, "Accept: a\r\nAccept: b\r\n", "Accept: b\r\nAccept: a\r\n"));
    assert_false(
        same(ACCEPT | LANGUAGE, "Accept: ab\r\nAccept-Language: c\r\n", "Accept: a\r\nAccept-Language: bc\r\n"));
    assert_false(slice_eq(key_of("Accept: a\r\n", ACCEPT), key_of("Accept-Language: a\r\n", LANGUAGE)));
    assert_false(slice_eq(key_of("Accept: a\r\n", ACCEPT), key_of("Accept: a\r\n", ACCEPT | LANGUAGE)));
    assert_false(slice_is(key_of("", ACCEPT), "key"));
}

#define with_arena(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(what_a_field_is_for_is_known_by_its_name),
        with_arena(vary_names_fields_in_whatever_way),
        with_arena(what_was_sent_is_seen),
        with_arena(without_fields_the_key_is_itself),
        with_arena(keys_are_the_same_for_the_same_values),
        with_arena(keys_differ_where_anything_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
