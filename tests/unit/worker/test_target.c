#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "worker/target.h"

static struct arena *arena;

static const char *parse(const char *raw, struct target *out)
{
    return target_parse(slice_str(raw), arena, out);
}

static void parts_are_split_before_they_are_decoded(void **state)
{
    (void)state;
    struct target t;
    assert_null(parse("/a%2Fb/c+d/?x=1+2&y=%26&z&=v&x=3", &t));
    assert_int_equal(t.segment_count, 3);
    assert_true(slice_is(t.segments[0], "a/b") && slice_is(t.segments[1], "c+d") && slice_is(t.segments[2], ""));
    assert_int_equal(t.pair_count, 5);
    assert_true(slice_is(t.pairs[0].name, "x") && slice_is(t.pairs[0].value, "1 2"));
    assert_true(slice_is(t.pairs[1].value, "&"));
    assert_true(slice_is(t.pairs[2].name, "z") && slice_is(t.pairs[2].value, ""));
    assert_true(slice_is(t.pairs[3].name, "") && slice_is(t.pairs[4].value, "3"));
}

static void a_proxys_form_and_a_double_slash_are_paths(void **state)
{
    (void)state;
    struct target t;
    assert_null(parse("?b=c", &t));
    assert_true(t.segment_count == 1 && slice_is(t.segments[0], "") && t.pair_count == 1);
    assert_null(parse("", &t));
    assert_true(t.segment_count == 1 && slice_is(t.segments[0], ""));
    assert_null(parse("//evil/x", &t));
    assert_true(t.segment_count == 3 && slice_is(t.segments[1], "evil"));
}

static void bad_targets_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"*",        "a/b",     "host:80", "/%",       "/%4",   "/%zz",
                                      "/%00",     "/?a=%00", "/%ff",    "/%c0%80",  "/\x80", "/a b",
                                      "/?a=\x01", "/?a=%",   "/?%g0=1", "ftp://h/x"};
    struct target t;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_non_null(parse(bad[i], &t));
}

static void too_many_parts_are_refused(void **state)
{
    (void)state;
    char raw[600] = "/?";
    struct target t;
    memset(raw + 2, '&', TARGET_PAIRS_MAX);
    assert_non_null(parse(raw, &t));
    raw[1 + TARGET_PAIRS_MAX] = '\0';
    assert_null(parse(raw, &t));
    memset(raw, '/', TARGET_SEGMENTS_MAX + 1);
    raw[TARGET_SEGMENTS_MAX + 1] = '\0';
    assert_non_null(parse(raw, &t));
    raw[TARGET_SEGMENTS_MAX] = '\0';
    assert_null(parse(raw, &t));
}

static int setup(void **state)
{
    (void)state;
    arena = arena_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_destroy(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_split_before_they_are_decoded),
        cmocka_unit_test(a_proxys_form_and_a_double_slash_are_paths),
        cmocka_unit_test(bad_targets_are_refused),
        cmocka_unit_test(too_many_parts_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
