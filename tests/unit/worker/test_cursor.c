#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "worker/cursor.h"

enum { VALUES_MAX = 4, OWNER = 77 };

static struct arena *arena;
static struct buf text;

static int setup(void **state)
{
    (void)state;
    arena = arena_create();
    srandom(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_destroy(&arena);
    buf_deinit(&text);
    text = (struct buf){0};
    return 0;
}

static struct slice encode(const struct param_value *values, int count)
{
    text.len = 0;
    assert_true(cursor_encode(&text, OWNER, values, count));
    return buf_slice(&text);
}

static struct param_value value_of(const char *s)
{
    return (struct param_value){.null = s == NULL, .text = slice_str(s)};
}

/* A third are NULL, a third empty or short, a third up to 300 bytes, of any bytes. */
static struct param_value random_value(void)
{
    size_t len = (size_t)(random() % 2 ? random() % 4 : random() % 300);
    char *at = arena_bytes(arena, len + 1);
    for (size_t i = 0; i < len; i++)
        at[i] = (char)random();
    at[len] = '\0';
    return random() % 3 == 0 ? (struct param_value){.null = true} : (struct param_value){false, slice_of(at, len)};
}

static bool same(const struct param_value *a, const struct param_value *b, int count)
{
    for (int i = 0; i < count; i++)
        if (a[i].null != b[i].null || (!a[i].null && !slice_eq(a[i].text, b[i].text)))
            return false;
    return true;
}

static void random_values_come_back(void **state)
{
    (void)state;
    for (int turn = 0; turn < 2000; turn++) {
        struct param_value values[VALUES_MAX], back[VALUES_MAX];
        int count = 1 + (int)(random() % VALUES_MAX);
        for (int i = 0; i < count; i++)
            values[i] = random_value();
        assert_true(cursor_decode(encode(values, count), OWNER, arena, back, count));
        assert_true(same(values, back, count));
        for (int i = 0; i < count; i++)
            assert_true(back[i].null || back[i].text.at[back[i].text.len] == '\0');
    }
}

static void only_letters_that_need_no_escape_stand_in_it(void **state)
{
    (void)state;
    const struct param_value value = value_of("\xff\xfe?&=#%+/ \"<>");
    struct slice cursor = encode(&value, 1);
    for (size_t i = 0; i < cursor.len; i++)
        assert_non_null(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", cursor.at[i]));
}

static bool reads(struct slice cursor, uint64_t owner, int count)
{
    struct param_value back[VALUES_MAX + 1];
    return cursor_decode(cursor, owner, arena, back, count);
}

static void no_byte_of_it_may_be_another(void **state)
{
    (void)state;
    const struct param_value values[] = {value_of("2024-05-01 12:00:00.123456+00"), value_of(NULL), value_of("7")};
    struct slice cursor = encode(values, 3);
    char *copy = arena_bytes(arena, cursor.len);
    for (size_t i = 0; i < cursor.len; i++)
        for (int byte = 0; byte < 256; byte++) {
            memcpy(copy, cursor.at, cursor.len);
            copy[i] = (char)byte;
            assert_int_equal(reads(slice_of(copy, cursor.len), OWNER, 3), copy[i] == cursor.at[i]);
        }
}

static void no_part_of_it_is_a_cursor(void **state)
{
    (void)state;
    const struct param_value values[] = {value_of("one"), value_of("two")};
    struct slice cursor = encode(values, 2);
    char *longer = arena_printf(arena, SLICE_FMT "AAAA", SLICE_ARG(cursor));
    for (size_t len = 0; len < cursor.len; len++)
        assert_false(reads(slice_of(cursor.at, len), OWNER, 2));
    for (size_t more = 1; more <= 4; more++)
        assert_false(reads(slice_of(longer, cursor.len + more), OWNER, 2));
}

static void it_belongs_to_its_owner(void **state)
{
    (void)state;
    const struct param_value values[] = {value_of("one"), value_of("two")};
    struct slice cursor = encode(values, 2);
    assert_true(reads(cursor, OWNER, 2));
    assert_false(reads(cursor, OWNER + 1, 2));
    assert_false(reads(cursor, OWNER, 1));
    assert_false(reads(cursor, OWNER, 3));
}

static void values_that_a_target_has_no_room_for_are_refused(void **state)
{
    (void)state;
    char *longest = arena_alloc(arena, CURSOR_VALUES_BYTES_MAX + 2);
    memset(longest, 'x', CURSOR_VALUES_BYTES_MAX + 1);
    const struct param_value over = {false, slice_of(longest, CURSOR_VALUES_BYTES_MAX + 1)};
    const struct param_value most[] = {{false, slice_of(longest, CURSOR_VALUES_BYTES_MAX - 1)}, value_of("x")};
    text.len = 0;
    assert_false(cursor_encode(&text, OWNER, &over, 1));
    assert_true(reads(encode(most, 2), OWNER, 2));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(random_values_come_back),      TEST(only_letters_that_need_no_escape_stand_in_it),
        TEST(no_byte_of_it_may_be_another), TEST(no_part_of_it_is_a_cursor),
        TEST(it_belongs_to_its_owner),      TEST(values_that_a_target_has_no_room_for_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
