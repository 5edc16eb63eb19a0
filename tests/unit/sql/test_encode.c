#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "sql/encode.h"

enum {
    INT8 = 20,
    INT4 = 23,
    TEXT = 25,
    BOOL = 16,
    JSONB = 3802,
    FLOAT8 = 701,
    NUMERIC = 1700,
    BYTEA = 17,
    TS = 1114,
    TSTZ = 1184,
    INT8S = 1016,
    TEXTS = 1009,
    FLOATS = 1022
};

/* columns: name, type, name, type, ..., NULL; then rows of texts, NULL being a null. */
struct table {
    const char *names[8];
    Oid types[8];
    int columns, rows;
    const char *cells[8][8];
};

static PGresult *result_of(const struct table *t)
{
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc attributes[8] = {0};
    for (int c = 0; c < t->columns; c++) {
        attributes[c].name = strdup(t->names[c]);
        attributes[c].typid = t->types[c];
    }
    assert_int_equal(PQsetResultAttrs(result, t->columns, attributes), 1);
    for (int r = 0; r < t->rows; r++)
        for (int c = 0; c < t->columns; c++) {
            const char *cell = t->cells[r][c];
            char *copy = cell ? strdup(cell) : NULL;
            assert_int_equal(PQsetvalue(result, r, c, copy, cell ? (int)strlen(cell) : -1), 1);
            free(copy);
        }
    for (int c = 0; c < t->columns; c++)
        free(attributes[c].name);
    return result;
}

static int gives(const struct table *t, enum result_kind kind, bool bigint_string, const char *expected)
{
    struct arena *arena = arena_create();
    struct err err = {0};
    struct buf out = {0};
    PGresult *result = result_of(t);
    struct encode_plan *plan = encode_plan_create(result, kind, bigint_string, arena, &err);
    if (plan == NULL)
        print_error("%s\n", err.text);
    assert_non_null(plan);
    assert_true(encode_plan_fits(plan, result));
    int objects = encode_result(plan, result, &out);
    buf_addc(&out, '\0');
    if (expected != NULL)
        assert_string_equal(out.at, expected);
    buf_deinit(&out);
    PQclear(result);
    arena_destroy(&arena);
    return objects;
}

static void is_refused(const struct table *t, enum result_kind kind, const char *words)
{
    struct arena *arena = arena_create();
    struct err err = {0};
    PGresult *result = result_of(t);
    assert_null(encode_plan_create(result, kind, false, arena, &err));
    if (strstr(err.text, words) == NULL)
        print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, words));
    PQclear(result);
    arena_destroy(&arena);
}

static void rows_are_objects(void **state)
{
    (void)state;
    struct table t = {{"id", "name"}, {INT8, TEXT}, 2, 2, {{"1", "a\"b\n"}, {"9007199254740993", NULL}}};
    assert_int_equal(
        gives(&t, RESULT_ROWS, false, "[{\"id\":1,\"name\":\"a\\\"b\\n\"},{\"id\":9007199254740993,\"name\":null}]"),
        2);
    gives(&t, RESULT_ROWS, true, "[{\"id\":\"1\",\"name\":\"a\\\"b\\n\"},{\"id\":\"9007199254740993\",\"name\":null}]");
    assert_int_equal(gives(&t, RESULT_ROW, false, NULL), 2);
    t.rows = 1;
    assert_int_equal(gives(&t, RESULT_ROW, false, "{\"id\":1,\"name\":\"a\\\"b\\n\"}"), 1);
    t.rows = 0;
    assert_int_equal(gives(&t, RESULT_ROWS, false, "[]"), 0);
    assert_int_equal(gives(&t, RESULT_ROW, false, ""), 0);
}

static void equal_rows_stay_rows(void **state)
{
    (void)state;
    struct table t = {{"a"}, {INT4}, 1, 2, {{"1"}, {"1"}}};
    gives(&t, RESULT_ROWS, false, "[{\"a\":1},{\"a\":1}]");
}

static void a_value_stands_alone(void **state)
{
    (void)state;
    struct table t = {{"v"}, {JSONB}, 1, 1, {{"{\"a\": [1, 2]}"}}};
    assert_int_equal(gives(&t, RESULT_VALUE, false, "{\"a\": [1, 2]}"), 1);
    t.types[0] = TEXT;
    gives(&t, RESULT_VALUE, false, "\"{\\\"a\\\": [1, 2]}\"");
    struct table two = {{"v", "w"}, {TEXT, TEXT}, 2, 0, {{NULL}}};
    is_refused(&two, RESULT_VALUE, "one column");
}

static void each_type_has_its_form(void **state)
{
    (void)state;
    static const struct {
        Oid type;
        const char *text, *json;
    } forms[] = {
        {BOOL, "t", "true"},
        {BOOL, "f", "false"},
        {FLOAT8, "1e+20", "1e+20"},
        {FLOAT8, "NaN", "null"},
        {FLOAT8, "-Infinity", "null"},
        {NUMERIC, "123456789012345678901234567890.10", "123456789012345678901234567890.10"},
        {NUMERIC, "NaN", "null"},
        {BYTEA, "\\x", "\"\""},
        {BYTEA, "\\x00", "\"AA==\""},
        {BYTEA, "\\x0001", "\"AAE=\""},
        {BYTEA, "\\x0001ff", "\"AAH/\""},
        {TS, "2024-05-01 12:00:00.5", "\"2024-05-01T12:00:00.5\""},
        {TSTZ, "2024-05-01 12:00:00+00", "\"2024-05-01T12:00:00+00:00\""},
        {TSTZ, "0044-03-15 00:00:00+00 BC", "\"0044-03-15T00:00:00+00:00 BC\""},
        {TSTZ, "infinity", "\"infinity\""},
        {INT8S, "{1,NULL,3}", "[1,null,3]"},
        {INT8S, "{}", "[]"},
        {INT8S, "[0:1]={{1,2},{3,4}}", "[[1,2],[3,4]]"},
        {TEXTS, "{a,\"b,\\\"c\\\\\",\"NULL\",\"\",NULL}", "[\"a\",\"b,\\\"c\\\\\",\"NULL\",\"\",null]"},
        {FLOATS, "{NaN,1.5}", "[null,1.5]"},
        {869, "127.0.0.1/8", "\"127.0.0.1/8\""},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct table t = {{"v"}, {forms[i].type}, 1, 1, {{forms[i].text}}};
        gives(&t, RESULT_VALUE, false, forms[i].json);
    }
    struct table big = {{"v"}, {INT8S}, 1, 1, {{"{1,NULL}"}}};
    gives(&big, RESULT_VALUE, true, "[\"1\",null]");
}

static void a_join_nests(void **state)
{
    (void)state;
    struct table t = {{"id", "posts[].id", "posts[].tags[].t", "name"},
                      {INT8, INT8, TEXT, TEXT},
                      4,
                      6,
                      {{"1", "10", "x", "ann"},
                       {"1", "10", "y", "ann"},
                       {"1", "11", NULL, "ann"},
                       {"2", NULL, NULL, "bob"},
                       {"3", "12", "z", NULL},
                       {"3", "12", "z", NULL}}};
    assert_int_equal(gives(&t, RESULT_ROWS, false,
                           "[{\"id\":1,\"posts\":[{\"id\":10,\"tags\":[{\"t\":\"x\"},{\"t\":\"y\"}]},"
                           "{\"id\":11,\"tags\":[]}],\"name\":\"ann\"},"
                           "{\"id\":2,\"posts\":[],\"name\":\"bob\"},"
                           "{\"id\":3,\"posts\":[{\"id\":12,\"tags\":[{\"t\":\"z\"},{\"t\":\"z\"}]}],\"name\":null}]"),
                     3);
    t.rows = 3;
    assert_int_equal(gives(&t, RESULT_ROW, false, NULL), 1);
}

static void objects_nest_and_absent_ones_are_null(void **state)
{
    (void)state;
    struct table t = {
        {"a.b.c", "a.d", "e"}, {INT4, INT4, INT4}, 3, 3, {{"1", "2", "3"}, {NULL, "2", "3"}, {NULL, NULL, "3"}}};
    gives(&t, RESULT_ROWS, false,
          "[{\"a\":{\"b\":{\"c\":1},\"d\":2},\"e\":3},{\"a\":{\"b\":null,\"d\":2},\"e\":3},{\"a\":null,\"e\":3}]");
    struct table inside = {{"a.list[].x", "a.y"}, {INT4, INT4}, 2, 2, {{"1", "9"}, {"2", "9"}}};
    gives(&inside, RESULT_ROWS, false, "[{\"a\":{\"list\":[{\"x\":1},{\"x\":2}],\"y\":9}}]");
}

static void shapes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct table twice = {{"a", "a"}, {INT4, INT4}, 2, 0, {{NULL}}};
    struct table both = {{"a", "a.b"}, {INT4, INT4}, 2, 0, {{NULL}}};
    struct table arrays = {{"a[].x", "b[].x"}, {INT4, INT4}, 2, 0, {{NULL}}};
    struct table empty = {{"a..b"}, {INT4}, 1, 0, {{NULL}}};
    is_refused(&twice, RESULT_ROWS, "stands twice");
    is_refused(&both, RESULT_ROWS, "something else");
    is_refused(&arrays, RESULT_ROWS, "two arrays");
    is_refused(&empty, RESULT_ROWS, "empty");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_objects),
        cmocka_unit_test(equal_rows_stay_rows),
        cmocka_unit_test(a_value_stands_alone),
        cmocka_unit_test(each_type_has_its_form),
        cmocka_unit_test(a_join_nests),
        cmocka_unit_test(objects_nest_and_absent_ones_are_null),
        cmocka_unit_test(shapes_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
