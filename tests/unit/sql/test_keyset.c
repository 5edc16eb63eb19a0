#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "sql/keyset.h"
#include "tests/unit/arena_fixture.h"

static struct query *parse(const char *text)
{
    struct err err;
    struct query *query = query_parse(slice_str(text), arena, &err);
    assert_non_null(query);
    return query;
}

static struct conf_page page_of(const char *one, bool down, const char *other, bool other_down)
{
    struct conf_page page = {.keys = arena_alloc(arena, 2 * sizeof *page.keys), .key_count = other ? 2 : 1};
    page.keys[0] = (struct conf_key){.column = one, .descending = down};
    page.keys[1] = (struct conf_key){.column = other, .descending = other_down};
    return page;
}

static const char *text_of(struct conf_page page, struct keyset_shape shape)
{
    return keyset_text(&page, &parse("SELECT * FROM t WHERE o = :o")->statements[0], &shape, arena);
}

#define FROM "SELECT * FROM (SELECT * FROM t WHERE o = $1) AS perfd_page"
#define A "perfd_page.\"a\""
#define B "perfd_page.\"b\""

static void the_first_page_has_an_order_and_a_limit(void **state)
{
    (void)state;
    assert_string_equal(text_of(page_of("a", true, "b", false), (struct keyset_shape){true, 0, 51}),
                        FROM " ORDER BY " A " DESC, " B " LIMIT 51");
    assert_string_equal(text_of(page_of("a", false, NULL, false), (struct keyset_shape){true, 0, 0}),
                        FROM " ORDER BY " A " LIMIT $2");
}

static void keys_that_all_descend_are_one_range(void **state)
{
    (void)state;
    assert_string_equal(text_of(page_of("a", true, "b", true), (struct keyset_shape){false, 0, 0}),
                        FROM " WHERE (" A ", " B ") < ($2, $3) ORDER BY " A " DESC, " B " DESC LIMIT $4");
}

#define UNION(one, other, order) "SELECT * FROM ((" one order ") UNION ALL (" other order ")) AS perfd_page" order

static void keys_that_ascend_have_null_behind_them(void **state)
{
    (void)state;
    assert_string_equal(text_of(page_of("a", false, NULL, false), (struct keyset_shape){false, 0, 9}),
                        UNION(FROM " WHERE (" A ") > ($2)", FROM " WHERE " A " IS NULL", " ORDER BY " A " LIMIT 9"));
}

static void values_that_are_null_have_no_number(void **state)
{
    (void)state;
    assert_string_equal(text_of(page_of("a", true, "b", true), (struct keyset_shape){false, 1, 0}),
                        UNION(FROM " WHERE " A " IS NULL AND " B " < $2", FROM " WHERE " A " IS NOT NULL",
                              " ORDER BY " A " DESC, " B " DESC LIMIT $3"));
    assert_string_equal(text_of(page_of("a", true, "b", false), (struct keyset_shape){false, 2, 0}),
                        FROM " WHERE " A " < $2 ORDER BY " A " DESC, " B " LIMIT $3");
}

static void nothing_is_behind_null_that_comes_last(void **state)
{
    (void)state;
    assert_string_equal(text_of(page_of("a", false, NULL, false), (struct keyset_shape){false, 1, 0}),
                        FROM " WHERE false ORDER BY " A " LIMIT $2");
}

static void names_are_quoted(void **state)
{
    (void)state;
    assert_non_null(strstr(text_of(page_of("A \"b\"", true, NULL, false), (struct keyset_shape){true, 0, 1}),
                           ".\"A \"\"b\"\"\" DESC"));
}

static void a_place_in_it_is_one_in_the_query(void **state)
{
    (void)state;
    struct query *query = parse("SELECT é, nope FROM t");
    struct conf_page page = page_of("a", true, NULL, false);
    const char *text = keyset_text(&page, &query->statements[0], &(struct keyset_shape){true, 0, 1}, arena);
    assert_int_equal(keyset_position(text, &query->statements[0], 15 + 11), 11);
    assert_int_equal(keyset_position(text, &query->statements[0], 3), 0);
    assert_int_equal(keyset_position(text, &query->statements[0], 0), 0);
}

static void is_fit(const char *text, bool fit)
{
    const char *wrong = keyset_refuses(parse(text));
    if ((wrong == NULL) != fit)
        fail_msg("%s: %s", text, wrong ? wrong : "is fit");
}

static void what_orders_or_limits_its_rows_is_refused(void **state)
{
    (void)state;
    is_fit("SELECT 1 ORDER BY 1", false);
    is_fit("SELECT 1 \n/* */oRDer BY 1", false);
    is_fit("(SELECT 1) LIMIT 1", false);
    is_fit("SELECT 1 OFFSET 1", false);
    is_fit("SELECT 1 FETCH FIRST ROW ONLY", false);
    is_fit("SELECT a.x, LIMIT", false);
    is_fit("SELECT a AS limit, t.order, t. /* */ fetch, b AS -- \n offset FROM t", true);
    is_fit("SELECT row_number() OVER (ORDER BY a), (SELECT 1 LIMIT 1), 'ORDER BY', \"limit\", borders FROM t", true);
    is_fit("SELECT 1; SELECT 2", false);
    is_fit("DELETE FROM t", false);
    is_fit("SELECT :limit", false);
    is_fit("SELECT :cursor::text", false);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_first_page_has_an_order_and_a_limit), TEST(keys_that_all_descend_are_one_range),
        TEST(keys_that_ascend_have_null_behind_them),  TEST(values_that_are_null_have_no_number),
        TEST(nothing_is_behind_null_that_comes_last),  TEST(names_are_quoted),
        TEST(a_place_in_it_is_one_in_the_query),       TEST(what_orders_or_limits_its_rows_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
