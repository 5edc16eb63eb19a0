#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/arena_fixture.h"
#include "worker/batch_items.h"

static struct batch_item *items;
static int count;
static struct problem problem;

static bool read_text(const char *text)
{
    problem = (struct problem){0};
    return batch_items_read(slice_str(text), 3, arena, &items, &count, &problem);
}

static void what_is_left_out_is_filled_in(void **state)
{
    (void)state;
    assert_true(read_text(
        "[{\"path\":\"/a\"},{\"path\":\"/b\",\"id\":\"x\"}, { \"path\" : \"\\/c\\u003f\", \"id\" : -1.50e3 } ]"));
    assert_int_equal(count, 3);
    assert_true(slice_is(items[0].id, "0") && slice_is(items[1].id, "\"x\"") && slice_is(items[2].id, "-1.50e3"));
    assert_true(slice_is(items[0].path, "/a") && slice_is(items[2].path, "/c?"));
    assert_true(items[0].method == HTTP_GET && items[0].body.len == 0);
    assert_true(read_text(" [ ] ") && count == 0);
}

static void methods_and_bodies(void **state)
{
    (void)state;
    assert_true(read_text(
        "[{\"path\":\"/a\",\"method\":\"DELETE\",\"body\": {\"a\":[1]} },"
        "{\"path\":\"/\",\"method\":\"get\",\"body\":null},{\"path\":\"/\",\"method\":\"BREW\",\"body\":7}]"));
    assert_int_equal(items[0].method, HTTP_DELETE);
    assert_int_equal(items[1].method, HTTP_OTHER);
    assert_int_equal(items[2].method, HTTP_OTHER);
    assert_true(slice_is(items[0].body, "{\"a\":[1]}") && slice_is(items[1].body, "null") &&
                slice_is(items[2].body, "7"));
}

static void is_refused(const char *text, long offset, const char *what)
{
    assert_false(read_text(text));
    assert_int_equal(problem.status, 400);
    assert_string_equal(problem.errors->detail, what);
    assert_int_equal(problem.errors->offset, offset);
    assert_null(problem.errors->next);
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
    (void)state;
    is_refused("{}", 0, "the body must be a JSON array");
    is_refused("[{\"path\":\"/\"},7]", 14, "an object was expected");
    is_refused("[{\"path\":\"/\"},{}]", 14, "the item has no path");
    is_refused("[{\"path\":null}]", 9, "a path is a string");
    is_refused("[{\"path\":\"/\",\"method\":null}]", 22, "a method is a string");
    is_refused("[{\"path\":\"/\",\"id\":true}]", 18, "an id is a string or a number");
    is_refused("[{\"path\":\"/\",\"Body\":1}]", 20, "an item has id, method, path and body, and nothing else");
}

static void one_too_many(void **state)
{
    (void)state;
    assert_true(read_text("[{\"path\":\"/\"},{\"path\":\"/\"},{\"path\":\"/\"}]"));
    assert_false(read_text("[{\"path\":\"/\"},{\"path\":\"/\"},{\"path\":\"/\"},{\"path\":\"/\"}]"));
    assert_int_equal(problem.status, 413);
    assert_string_equal(problem.detail, "a batch has at most 3 items");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_left_out_is_filled_in, setup, teardown),
        cmocka_unit_test_setup_teardown(methods_and_bodies, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_told_with_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(one_too_many, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
