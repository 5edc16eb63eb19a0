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

static PGresult *one_row(const PGresult *result, int row)
{
    PGresult *one = PQcopyResult(result, PG_COPYRES_ATTRS);
    for (int c = 0; c < PQnfields(result); c++)
        assert_int_equal(PQsetvalue(one, 0, c, PQgetvalue(result, row, c),
                                    PQgetisnull(result, row, c) ? -1 : PQgetlength(result, row, c)),
                         1);
    return one;
}

/* Row by row, with an end that has none; each is gone as soon as it may. */
static int encode_in_pieces(struct encode_plan *plan, enum encode_format format, const PGresult *result,
                            struct buf *out)
{
    struct encoding e;
    encode_begin(&e, plan, format, out);
    for (int row = 0; row < PQntuples(result); row++)
        encode_take(&e, one_row(result, row));
    encode_take(&e, PQcopyResult(result, PG_COPYRES_ATTRS));
    return encode_end(&e);
}

static void is_the_same_in_pieces(struct encode_plan *plan, const PGresult *result, const struct buf *whole,
                                  int objects)
{
    struct buf out = {0};
    int same = encode_in_pieces(plan, ENCODE_JSON, result, &out);
    assert_int_equal(same > 1, objects > 1);
    if (objects < 2 || out.at[0] == '[') {
        assert_int_equal(same, objects);
        assert_int_equal(out.len, whole->len);
        assert_memory_equal(out.at, whole->at, out.len);
    }
    buf_deinit(&out);
}

static void gives_format(const struct table *t, enum encode_format format, const char *expected)
{
    struct err err = {0};
    struct buf out = {0};
    PGresult *result = result_of(t);
    struct encode_plan *plan = encode_plan_create(result, RESULT_ROWS, false, &err);
    assert_non_null(plan);
    assert_int_equal(encode_in_pieces(plan, format, result, &out) > 0, t->rows > 0);
    buf_addc(&out, '\0');
    assert_string_equal(out.at, expected);
    buf_deinit(&out);
    PQclear(result);
    encode_plan_release(&plan);
}

static int gives(const struct table *t, enum result_kind kind, bool bigint_string, const char *expected)
{
    struct err err = {0};
    struct buf out = {0};
    PGresult *result = result_of(t);
    struct encode_plan *plan = encode_plan_create(result, kind, bigint_string, &err);
    if (plan == NULL)
        print_error("%s\n", err.text);
    assert_non_null(plan);
    assert_true(encode_plan_fits(plan, result));
    int objects = encode_result(plan, result, &out);
    if (objects > 0 || kind == RESULT_ROWS)
        is_the_same_in_pieces(plan, result, &out, objects);
    buf_addc(&out, '\0');
    if (expected != NULL)
        assert_string_equal(out.at, expected);
    buf_deinit(&out);
    PQclear(result);
    encode_plan_release(&plan);
    return objects;
}

static void is_refused(const struct table *t, enum result_kind kind, const char *words)
{
    struct err err = {0};
    PGresult *result = result_of(t);
    assert_null(encode_plan_create(result, kind, false, &err));
    if (strstr(err.text, words) == NULL)
        print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, words));
    PQclear(result);
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

static void lines_of_objects(void **state)
{
    (void)state;
    const struct table flat = {{"id", "name"}, {INT4, TEXT}, 2, 2, {{"1", "a\nb"}, {"2", NULL}}};
    gives_format(&flat, ENCODE_NDJSON, "{\"id\":1,\"name\":\"a\\nb\"}\n{\"id\":2,\"name\":null}\n");
    const struct table nested = {
        {"id", "posts[].id"}, {INT4, INT4}, 2, 4, {{"1", "10"}, {"1", "11"}, {"2", NULL}, {"3", "30"}}};
    gives_format(&nested, ENCODE_NDJSON,
                 "{\"id\":1,\"posts\":[{\"id\":10},{\"id\":11}]}\n{\"id\":2,\"posts\":[]}\n"
                 "{\"id\":3,\"posts\":[{\"id\":30}]}\n");
    const struct table none = {{"id"}, {INT4}, 1, 0, {{0}}};
    gives_format(&none, ENCODE_NDJSON, "");
}

static void lines_of_values(void **state)
{
    (void)state;
    const struct table flat = {
        {"id", "a,b"},
        {INT8, TEXT},
        2,
        6,
        {{"9007199254740993", "plain"}, {"2", "a \"quote\""}, {"3", "x,y"}, {"4", "l\r\n"}, {"5", ""}, {"6", NULL}}};
    gives_format(&flat, ENCODE_CSV,
                 "id,\"a,b\"\r\n9007199254740993,plain\r\n2,\"a \"\"quote\"\"\"\r\n3,\"x,y\"\r\n4,\"l\r\n\"\r\n"
                 "5,\"\"\r\n6,\r\n");
    const struct table types = {{"t", "b", "z", "s"},
                                {BOOL, BYTEA, TSTZ, TEXTS},
                                4,
                                1,
                                {{"t", "\\x00ff", "2024-05-01 12:00:00.5+00", "{a,NULL}"}}};
    gives_format(&types, ENCODE_CSV, "t,b,z,s\r\ntrue,AP8=,2024-05-01T12:00:00.5+00:00,\"[\"\"a\"\",null]\"\r\n");
    const struct table nested = {{"id", "posts[].id"}, {INT4, INT4}, 2, 2, {{"1", "10"}, {"1", NULL}}};
    gives_format(&nested, ENCODE_CSV, "id,posts[].id\r\n1,10\r\n1,\r\n");
    const struct table none = {{"id"}, {INT4}, 1, 0, {{0}}};
    gives_format(&none, ENCODE_CSV, "id\r\n");
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
        cmocka_unit_test(lines_of_objects),
        cmocka_unit_test(lines_of_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
