#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "master/ctl/advise/condition.h"
#include "tests/unit/arena_fixture.h"

static void compares(enum compared expected, const char *condition, struct condition_column column)
{
    if (condition_compares(condition, &column) != expected)
        fail_msg("%s", condition);
}

static void is(enum compared expected, const char *condition)
{
    compares(expected, condition, (struct condition_column){"posts", "user_id", "bigint"});
}

static void comparisons_that_an_index_serves(void **state)
{
    (void)state;
    is(COMPARED_EQUAL, "(posts.user_id = $1)");
    is(COMPARED_EQUAL, "((posts.created_at < $2) AND (posts.user_id = $1))");
    is(COMPARED_EQUAL, "(posts.user_id = ANY ($1))");
    is(COMPARED_EQUAL, "($1 = posts.user_id)");
    is(COMPARED_EQUAL, "((posts.user_id < $1) AND (posts.user_id = $2))");
    is(COMPARED_EQUAL, "(posts.user_id = other_posts.user_id)");
    is(COMPARED_EQUAL, "(posts.user_id = ($1)::bigint)");
    is(COMPARED_EQUAL, "((posts.user_id)::bigint = $1)");
    is(COMPARED_RANGE, "(posts.user_id >= $1)");
    is(COMPARED_RANGE, "($1 < posts.user_id)");
}

static void one_condition_does_not_hide_another(void **state)
{
    (void)state;
    is(COMPARED_EQUAL, "((posts.user_id = $1) AND ((posts.title = $2) OR (posts.body = $3)))");
    is(COMPARED_EQUAL, "((NOT posts.hidden) AND (posts.user_id = $1))");
    is(COMPARED_EQUAL, "((posts.title <> 'x'' OR (NOT ('::text) AND (posts.user_id = $1))");
    is(COMPARED_EQUAL, "((posts.at = '2024-01-01 00:00:00'::timestamp without time zone) AND (posts.user_id = $1))");
}

static void comparisons_that_none_serves(void **state)
{
    (void)state;
    is(COMPARED_NOT, "(posts.title = $1)");
    is(COMPARED_NOT, "(posts.user_id <> $1)");
    is(COMPARED_NOT, "(posts.user_id IS NULL)");
    is(COMPARED_NOT, "(other_posts.user_id = $1)");
    is(COMPARED_NOT, "(posts.user_id_2 = $1)");
    is(COMPARED_NOT, "((posts.user_id + 1) = $1)");
    is(COMPARED_NOT, "(lower(posts.user_id) = $1)");
    is(COMPARED_NOT, "((posts.user_id = $1) OR (posts.title = $2))");
    is(COMPARED_NOT, "(NOT (posts.user_id = $1))");
    is(COMPARED_NOT, "(posts.user_id = ALL ($1))");
    is(COMPARED_NOT, "(posts.user_id > ANY ($1))");
    is(COMPARED_NOT, "(posts.user_id = posts.author_id)");
    is(COMPARED_NOT, "(posts.user_id = (posts.author_id + 1))");
    is(COMPARED_NOT, "(posts.title = 'posts.user_id = '::text)");
    is(COMPARED_NOT, "(posts.user_id OPERATOR(app.=) $1)");
    is(COMPARED_NOT, "(ROW(posts.user_id, posts.id) = ROW($1, $2))");
    is(COMPARED_NOT, "posts.user_id");
    is(COMPARED_NOT, "");
}

static void what_is_no_condition_is_none(void **state)
{
    (void)state;
    is(COMPARED_NOT, "((posts.user_id = $1)");
    is(COMPARED_NOT, "(posts.user_id = 'open");
    is(COMPARED_NOT, ")(");
    is(COMPARED_NOT, " AND  AND ");
    is(COMPARED_NOT, "= = =");
}

/* varchar is compared as text, and bigint not. */
static void a_cast_to_what_the_index_has_is_served(void **state)
{
    (void)state;
    compares(COMPARED_EQUAL, "((users.email)::text = $1)", (struct condition_column){"users", "email", "text"});
    compares(COMPARED_EQUAL, "(users.email = $1)", (struct condition_column){"users", "email", "text"});
    compares(COMPARED_RANGE, "((users.at)::timestamp without time zone < $1)",
             (struct condition_column){"users", "at", "timestamp without time zone"});
    is(COMPARED_NOT, "((posts.user_id)::text = $1)");
    is(COMPARED_NOT, "((posts.user_id)::numeric = $1)");
    compares(COMPARED_NOT, "(items.area = $1)", (struct condition_column){"items", "area", ""});
}

static void names_stand_as_sql_quotes_them(void **state)
{
    (void)state;
    const struct condition_column column = {"\"My Posts\"", "\"user (id) = \"", "bigint"};
    compares(COMPARED_EQUAL, "(\"My Posts\".\"user (id) = \" = $1)", column);
    compares(COMPARED_NOT, "(\"My Posts\".\"user (id) \" = $1)", column);
    compares(COMPARED_NOT, "(\"not My Posts\".\"user (id) = \" = $1)", column);
}

static void is_expression(const char *condition, const char *expected)
{
    const char *found = condition_expression(condition, "users", arena);
    if (expected == NULL)
        assert_null(found);
    else
        assert_string_equal(found, expected);
}

static void expressions_that_an_index_may_have(void **state)
{
    (void)state;
    is_expression("(lower(users.email) = $1)", "lower(email)");
    is_expression("($1 = lower(users.email))", "lower(email)");
    is_expression("((users.age > $1) AND (lower((users.email)::text) = lower($2)))", "lower((email)::text)");
    is_expression("((users.data ->> 'users.name'::text) = $1)", "data ->> 'users.name'::text");
    is_expression("((users.first || users.\"Last\") = $1)", "first || \"Last\"");
}

static void what_is_no_expression_of_a_row(void **state)
{
    (void)state;
    is_expression("(users.email = $1)", NULL);
    is_expression("(users.\"E mail\" = $1)", NULL);
    is_expression("(lower(users.email) <> $1)", NULL);
    is_expression("(lower(users.email) = users.name)", NULL);
    is_expression("(lower(other.email) = $1)", NULL);
    is_expression("(ROW(users.age, users.id) < ROW($1, $2))", NULL);
    is_expression("(NOT (lower(users.email) = $1))", NULL);
    is_expression("((lower(users.email) = $1) OR (users.age = $2))", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparisons_that_an_index_serves),
        cmocka_unit_test(one_condition_does_not_hide_another),
        cmocka_unit_test(comparisons_that_none_serves),
        cmocka_unit_test(what_is_no_condition_is_none),
        cmocka_unit_test(a_cast_to_what_the_index_has_is_served),
        cmocka_unit_test(names_stand_as_sql_quotes_them),
        cmocka_unit_test_setup_teardown(expressions_that_an_index_may_have, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_expression_of_a_row, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
