#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sql/wording.h"

#define QUERY SLICE("SELECT * FROM posts JOIN users u ON u.id = user_id WHERE to_tsquery(:q) @@ body LIMIT 5")

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

static void numbers_may_be_what_a_consumer_sent(void **state)
{
    (void)state;
    is_told("requested character too large for encoding: 99999999", "requested character too large for encoding: ...");
    is_told("index -7 out of valid range, 0..3", "index ... out of valid range, ...");
    is_told("invalid byte sequence for encoding \"UTF8\": 0xff", "invalid byte sequence for encoding \"...\": ...");
    is_told("42", "...");
    is_told("value too long for type character varying(320)", "value too long for type character varying(320)");
    is_told("function f(int8) does not exist, nor 5 and 15 others",
            "function f(int8) does not exist, nor 5 and ... others");
}

/* The Spanish word for ERROR is ERROR. */
static void translated_words_are_left_out(void **state)
{
    (void)state;
    char words[WORDING_BYTES];
    wording_log("error de sintaxis en tsquery: \xc2\xabsecret\xc2\xbb", false, QUERY, words);
    assert_null(strstr(words, "secret"));
    is_told("relation \"pos\xc3\xa9\" does not exist", "relation \"...\" does not exist");
}

static void long_words_are_cut(void **state)
{
    (void)state;
    char message[2 * WORDING_BYTES], words[WORDING_BYTES];
    memset(message, 'x', sizeof message);
    message[sizeof message - 1] = '\0';
    wording_log(message, false, QUERY, words);
    assert_in_range(strlen(words), WORDING_BYTES - 8, WORDING_BYTES - 1);
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
        cmocka_unit_test(numbers_may_be_what_a_consumer_sent),
        cmocka_unit_test(translated_words_are_left_out),
        cmocka_unit_test(long_words_are_cut),
        cmocka_unit_test(free_words_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
