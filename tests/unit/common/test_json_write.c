#include "common/json_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Text is looked at sixteen bytes at a time: what must be escaped may stand anywhere in or behind such a piece. */
static void an_escape_is_found_wherever_it_stands(void **state)
{
    (void)state;
    static const struct {
        char byte;
        const char *written;
    } cases[] = {{'"', "\\\""},   {'\\', "\\\\"}, {'\n', "\\n"}, {'\0', "\\u0000"},
                 {31, "\\u001f"}, {' ', " "},     {127, "\x7f"}, {(char)0xff, "\xff"}};
    for (size_t c = 0; c < ARRAY_LEN(cases); c++)
        for (size_t len = 1; len <= 50; len++)
            for (size_t at = 0; at < len; at++) {
                char text[50], wanted[64];
                struct buf out = {0};
                memset(text, 'x', len);
                text[at] = cases[c].byte;
                size_t n = (size_t)snprintf(wanted, sizeof wanted, "\"%.*s%s%.*s\"", (int)at, text, cases[c].written,
                                            (int)(len - at - 1), text + at + 1);
                json_write_string(&out, slice_of(text, len));
                assert_int_equal(out.len, n);
                assert_memory_equal(out.at, wanted, n);
                buf_deinit(&out);
            }
}

static void neighbours_are_escaped_too(void **state)
{
    (void)state;
    struct buf out = {0};
    json_write_string(&out, slice_str("\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\t"));
    assert_int_equal(out.len, 2 + 2 * 20);
    assert_memory_equal(out.at, "\"\\\"\\\"", 5);
    assert_memory_equal(out.at + out.len - 3, "\\t\"", 3);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_escape_is_found_wherever_it_stands),
        cmocka_unit_test(neighbours_are_escaped_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
