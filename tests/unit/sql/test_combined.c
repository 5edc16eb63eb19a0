#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sql/combined.h"
#include "tests/unit/arena_fixture.h"

enum { INT8 = 20, INT8S = 1016, TEXT = 25, UNKNOWN = 4711 };

static struct query *parse(const char *text)
{
    struct err err;
    struct query *query = query_parse(slice_str(text), arena, &err);
    assert_non_null(query);
    return query;
}

static void becomes(const char *text, uint32_t type, const char *type_name, const char *inner)
{
    struct err err;
    const char *combined = combined_text(&parse(text)->statements[0], type, arena, &err);
    assert_non_null(combined);
    assert_string_equal(
        combined,
        arena_printf(arena,
                     "SELECT perfd_row.*, perfd_key.i FROM pg_catalog.unnest((SELECT $1::pg_catalog.%s[])) WITH "
                     "ORDINALITY AS perfd_key(v, i), LATERAL (%s) AS perfd_row",
                     type_name, inner));
}

static void the_parameter_becomes_a_column(void **state)
{
    (void)state;
    becomes("SELECT a FROM t WHERE id=:id", INT8, "int8", "SELECT a FROM t WHERE id= perfd_key.v ");
    becomes("SELECT :'x'::text, a FROM t WHERE b = :x OR c = (:x)", TEXT, "text",
            "SELECT  perfd_key.v ::text, a FROM t WHERE b =  perfd_key.v  OR c = ( perfd_key.v )");
}

static void what_only_looks_like_it_stays(void **state)
{
    (void)state;
    becomes("SELECT '$1', \"$1\", $$ $1 $$, 'a$1' FROM t WHERE id = :id", INT8, "int8",
            "SELECT '$1', \"$1\", $$ $1 $$, 'a$1' FROM t WHERE id =  perfd_key.v ");
}

static void a_type_without_a_name_is_refused(void **state)
{
    (void)state;
    struct err err;
    const struct query_statement *statement = &parse("SELECT :id")->statements[0];
    assert_null(combined_text(statement, INT8S, arena, &err));
    assert_null(combined_text(statement, UNKNOWN, arena, &err));
    assert_non_null(strstr(err.text, "4711"));
}

static void only_a_select_with_one_parameter_is_combined(void **state)
{
    (void)state;
    assert_null(combined_refuses(parse("SELECT :a, :a ORDER BY 1 LIMIT 1")));
    assert_non_null(combined_refuses(parse("SELECT 1")));
    assert_non_null(combined_refuses(parse("SELECT :a, :b")));
    assert_non_null(combined_refuses(parse("SELECT :a; SELECT :a")));
    assert_non_null(combined_refuses(parse("DELETE FROM t WHERE id = :a RETURNING id")));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_parameter_becomes_a_column),
        TEST(what_only_looks_like_it_stays),
        TEST(a_type_without_a_name_is_refused),
        TEST(only_a_select_with_one_parameter_is_combined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
