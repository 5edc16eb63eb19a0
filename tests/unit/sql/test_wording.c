#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sql/wording.h"

#define QUERY SLICE("SELECT * FROM posts JOIN users u ON u.id = user_id WHERE to_tsquery(:q) @@ body")

static void is_told(const char *message, const char *expected)
{
    char words[WORDING_BYTES];
    wording_log(message, false, QUERY, words);
    assert_string_equal(words, expected);
}

static void what_the_query_itself_has_is_told(void **state)
{
    (void)state;
    is_told("permission denied for table users", "permission denied for table users");
    is_told("relation \"posts\" does not exist", "relation \"posts\" does not exist");
    is_told("column \"user_id\" of \"posts\" is gone", "column \"user_id\" of \"posts\" is gone");
}

static void what_a_consumer_may_have_sent_is_not(void **state)
{
    (void)state;
    is_told("syntax error in tsquery: \"my secret\"", "syntax error in tsquery: \"...\"");
    is_told("relation \"secret\" of \"posts\" is not", "relation \"...\" is not");
    is_told("syntax error at \"posts\" secret\"", "syntax error at \"...\"");
    is_told("syntax error at \"secret", "syntax error at \"...\"");
    is_told("\"secret\"", "\"...\"");
}

static void free_words_are_left_out(void **state)
{
    (void)state;
    char words[WORDING_BYTES];
    wording_log("no secret of posts", true, QUERY, words);
    assert_null(strstr(words, "secret"));
    assert_true(strlen(words) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_query_itself_has_is_told),
        cmocka_unit_test(what_a_consumer_may_have_sent_is_not),
        cmocka_unit_test(free_words_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
