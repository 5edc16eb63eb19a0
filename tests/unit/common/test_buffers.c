/* arena, buf and the JSON writer, through their headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "common/arena.h"
#include "common/json_write.h"

static void arena_keeps_what_it_gave(void **state)
{
    (void)state;
    struct arena *arena = arena_create();
    char *given[200];
    for (int i = 0; i < 200; i++)
        given[i] = arena_printf(arena, "%d:%0*d", i, i * 7, i);
    for (int i = 0; i < 200; i++)
        assert_int_equal(atoi(given[i]), i);
    char *zeroed = arena_alloc(arena, 10000);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(zeroed[i], 0);
    assert_int_equal((uintptr_t)zeroed % 16, 0);
    arena_destroy(&arena);
    assert_null(arena);
}

static void written_string_is(struct slice in, const char *expected)
{
    struct buf out = {0};
    json_write_string(&out, in);
    buf_addc(&out, '\0');
    assert_string_equal(out.at, expected);
    buf_deinit(&out);
}

static void strings_are_escaped_as_rfc_8259_asks(void **state)
{
    (void)state;
    written_string_is(slice_str(""), "\"\"");
    written_string_is(slice_str("a\"b\\c/"), "\"a\\\"b\\\\c/\"");
    written_string_is(slice_str("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\"");
    written_string_is(slice_of("\0\x1f\x7f", 3), "\"\\u0000\\u001f\x7f\"");
    written_string_is(slice_str("\xc3\xa9"), "\"\xc3\xa9\"");
}

static void whole_numbers_are_written_to_their_ends(void **state)
{
    (void)state;
    static const int64_t numbers[] = {0, 7, -7, 10, INT64_MAX, INT64_MIN};
    struct buf out = {0};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        json_write_int(&out, numbers[i]);
        buf_addc(&out, ' ');
    }
    buf_addc(&out, '\0');
    assert_string_equal(out.at, "0 7 -7 10 9223372036854775807 -9223372036854775808 ");
    buf_deinit(&out);
}

static void keys_bring_their_comma(void **state)
{
    (void)state;
    struct buf out = {0};
    buf_addc(&out, '{');
    json_write_key(&out, "a");
    json_write_int(&out, 1);
    json_write_key(&out, "b");
    buf_printf(&out, "%s}", "[]");
    buf_addc(&out, '\0');
    assert_string_equal(out.at, "{\"a\":1,\"b\":[]}");
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_keeps_what_it_gave),
        cmocka_unit_test(strings_are_escaped_as_rfc_8259_asks),
        cmocka_unit_test(whole_numbers_are_written_to_their_ends),
        cmocka_unit_test(keys_bring_their_comma),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
