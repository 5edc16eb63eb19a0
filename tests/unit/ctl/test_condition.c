#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "master/ctl/advise/condition.h"

static void is(enum compared expected, const char *condition)
{
    if (condition_compares(condition, "posts", "user_id") != expected)
        fail_msg("%s", condition);
}

static void comparisons_that_an_index_serves(void **state)
{
    (void)state;
    is(COMPARED_EQUAL, "(posts.user_id = $1)");
    is(COMPARED_EQUAL, "((posts.created_at < $2) AND (posts.user_id = $1))");
    is(COMPARED_EQUAL, "(posts.user_id = ANY ($1))");
    is(COMPARED_EQUAL, "((posts.user_id)::text = $1)");
    is(COMPARED_EQUAL, "($1 = posts.user_id)");
    is(COMPARED_EQUAL, "((posts.user_id < $1) AND (posts.user_id = $2))");
    is(COMPARED_RANGE, "(posts.user_id >= $1)");
    is(COMPARED_RANGE, "($1 < posts.user_id)");
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
    is(COMPARED_NOT, "posts.user_id");
    is(COMPARED_NOT, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparisons_that_an_index_serves),
        cmocka_unit_test(comparisons_that_none_serves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
