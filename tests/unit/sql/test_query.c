#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "sql/query.h"
#include "tests/unit/arena_fixture.h"

static struct query *parse(const char *text)
{
    struct err err;
    struct query *q = query_parse(slice_str(text), arena, &err);
    if (q == NULL)
        print_error("%s: %s\n", text, err.text);
    assert_non_null(q);
    return q;
}

static void becomes(const char *text, const char *rewritten)
{
    struct query *q = parse(text);
    assert_int_equal(q->statement_count, 1);
    assert_string_equal(q->statements[0].text, rewritten);
}

static void is_refused(const char *text, const char *words)
{
    struct err err;
    assert_null(query_parse(slice_str(text), arena, &err));
    if (strstr(err.text, words) == NULL)
        print_error("%s: %s\n", text, err.text);
    assert_non_null(strstr(err.text, words));
}

static void names_become_numbers(void **state)
{
    (void)state;
    struct query *q = parse("SELECT :id, :'name', :id::int8 FROM t WHERE a=:b_2;");
    assert_string_equal(q->statements[0].text, "SELECT $1, $2, $1::int8 FROM t WHERE a=$3");
    assert_int_equal(q->name_count, 3);
    assert_string_equal(q->names[1], "name");
    assert_string_equal(q->names[2], "b_2");
    assert_int_equal(q->statements[0].param_count, 3);
}

static void what_is_no_parameter_stays(void **state)
{
    (void)state;
    becomes("SELECT ':a', 'it''s :b', E'\\':c', \"q:d\", a::text, x[1:2], y[:2]",
            "SELECT ':a', 'it''s :b', E'\\':c', \"q:d\", a::text, x[1:2], y[:2]");
    becomes("SELECT $$ :a ; $$, $t$ $$ :b $t$, a$1", "SELECT $$ :a ; $$, $t$ $$ :b $t$, a$1");
    becomes("SELECT 'back\\', :a", "SELECT 'back\\', $1");
    becomes("SELECT f(a := 1)", "SELECT f(a := 1)");
    becomes("SELECT name'x' , :e", "SELECT name'x' , $1");
}

static void comments_go(void **state)
{
    (void)state;
    becomes("-- :a ;\nSELECT 1 /* :b /* ; */ */ + :c -- 'end", "SELECT 1   + $1");
    assert_int_equal(parse("SELECT 1; -- nothing more\n/* ; */ ;")->statement_count, 1);
}

static void statements_are_split_and_numbered_anew(void **state)
{
    (void)state;
    struct query *q = parse("\n-- one\nUPDATE t SET a = :a WHERE id = :id;\n\n  SELECT :id, ';' ;;");
    assert_int_equal(q->statement_count, 2);
    assert_int_equal(q->statements[0].line, 3);
    assert_int_equal(q->statements[1].line, 5);
    assert_string_equal(q->statements[1].text, "SELECT $1, ';'");
    assert_int_equal(q->statements[1].param_count, 1);
    assert_string_equal(q->names[q->statements[1].params[0]], "id");
}

static void positions_lead_back_to_the_source(void **state)
{
    (void)state;
    const char *text = "-- é\nSELECT 'ü', :longer_name,\n  wrong";
    struct query *q = parse(text);
    int line, column;
    const char *found = strstr(q->statements[0].text, "wrong");
    /* Characters, of which the ü is one with two bytes. */
    int position = (int)(found - q->statements[0].text) - 1 + 1;
    query_locate(slice_str(text), &q->statements[0], position, &line, &column);
    assert_int_equal(line, 3);
    assert_int_equal(column, 3);
    query_locate(slice_str(text), &q->statements[0], 0, &line, &column);
    assert_int_equal(line, 2);
    assert_int_equal(column, 1);
}

static void what_is_wrong_is_named_with_its_place(void **state)
{
    (void)state;
    is_refused("SELECT 1,\n 'open", "2:2: this string");
    is_refused("SELECT \"open", "1:8: this quoted name");
    is_refused("SELECT 1 /* /* */", "1:10: this comment");
    is_refused("SELECT $a$ b", "1:8: this dollar");
    is_refused("SELECT $1", "1:8: parameters have names");
    is_refused("SELECT :'a", "1:8: after");
    is_refused(" -- nothing\n;", "there is no statement");
    is_refused("SELECT '\xff'", "1:9: this is not UTF-8");
    char many[2000] = "SELECT 0";
    for (int i = 0; i < 65; i++)
        sprintf(many + strlen(many), ", :p%d", i);
    is_refused(many, "at most 64 parameters");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_become_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_parameter_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(comments_go, setup, teardown),
        cmocka_unit_test_setup_teardown(statements_are_split_and_numbered_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(positions_lead_back_to_the_source, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_named_with_its_place, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
