#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/arena_fixture.h"
#include "worker/field_lines.h"

#define LINES                                                                                                          \
    SLICE("ETag: \"a\"\r\nVary: Accept\r\nX-Empty:\r\nvary:  Accept-Language \r\nContent-Type: text/plain\r\n")

static void a_field_is_found_whatever_its_case(void **state)
{
    (void)state;
    assert_true(slice_is(field_lines_find(LINES, "etag"), "\"a\""));
    assert_true(slice_is(field_lines_find(LINES, "Content-Type"), "text/plain"));
    assert_true(slice_is(field_lines_find(LINES, "VARY"), "Accept"));
    struct slice empty = field_lines_find(LINES, "X-Empty");
    assert_true(empty.at != NULL && empty.len == 0);
    assert_null(field_lines_find(LINES, "Content").at);
    assert_null(field_lines_find(SLICE(""), "ETag").at);
    assert_null(field_lines_find(slice_of(NULL, 0), "ETag").at);
}

static void a_list_is_of_all_its_lines(void **state)
{
    (void)state;
    assert_true(slice_is(field_lines_list(LINES, "Vary", arena), "Accept, Accept-Language"));
    assert_true(slice_is(field_lines_list(LINES, "ETag", arena), "\"a\""));
    assert_null(field_lines_list(LINES, "Age", arena).at);
}

static void what_is_no_field_is_passed_over(void **state)
{
    (void)state;
    struct slice lines = SLICE("junk\r\n\r\nA: 1\nB:2\r\nC: 3");
    struct http_field field;
    const char *const names[] = {"A", "B", "C"}, *const values[] = {"1", "2", "3"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_true(field_lines_next(&lines, &field));
        assert_true(slice_is(field.name, names[i]) && slice_is(field.value, values[i]));
    }
    assert_false(field_lines_next(&lines, &field));
}

static void only_the_named_ones_are_kept(void **state)
{
    (void)state;
    static const char *const names[] = {"Vary", "etag", NULL}, *const none[] = {NULL};
    assert_true(
        slice_is(field_lines_only(LINES, names, arena), "ETag: \"a\"\r\nVary: Accept\r\nvary: Accept-Language\r\n"));
    assert_int_equal(field_lines_only(LINES, none, arena).len, 0);
}

static void newer_fields_take_the_place_of_the_older(void **state)
{
    (void)state;
    struct slice newer = SLICE("etag: \"b\"\r\nX-New: 1\r\n");
    assert_true(slice_is(field_lines_update(SLICE("ETag: \"a\"\r\nVary: Accept\r\n"), newer, arena),
                         "Vary: Accept\r\netag: \"b\"\r\nX-New: 1\r\n"));
    assert_true(
        slice_is(field_lines_update(SLICE("A: 1\r\nA: 2\r\nB: 3\r\n"), SLICE("A: 4\r\n"), arena), "B: 3\r\nA: 4\r\n"));
    assert_true(slice_is(field_lines_update(SLICE("A: 1\r\n"), SLICE(""), arena), "A: 1\r\n"));
    assert_true(slice_is(field_lines_update(SLICE(""), SLICE("A: 1\r\n"), arena), "A: 1\r\n"));
}

static void names_stand_in_a_list_in_whatever_way(void **state)
{
    (void)state;
    static const char *const lists[] = {"close", "keep-alive, CLOSE", ",\tClose ,", "a,close"};
    static const char *const others[] = {"", " , ", "clos", "closed", "not-close, x"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        assert_true(field_list_has(slice_str(lists[i]), SLICE("close")));
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(field_list_has(slice_str(others[i]), SLICE("close")));
    assert_false(field_list_has(slice_of(NULL, 0), SLICE("close")));
    assert_false(field_list_has(SLICE(" , a"), SLICE("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_field_is_found_whatever_its_case, setup, teardown),
        cmocka_unit_test_setup_teardown(a_list_is_of_all_its_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_field_is_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_named_ones_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(names_stand_in_a_list_in_whatever_way, setup, teardown),
        cmocka_unit_test_setup_teardown(newer_fields_take_the_place_of_the_older, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
