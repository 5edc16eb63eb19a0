#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/units.h"

struct whole {
    const char *text;
    int64_t value; /* -1: refused */
    const char *printed;
};

static void durations(void **state)
{
    (void)state;
    static const struct whole cases[] = {
        {"0", 0, "0"},
        {"0s", 0, "0"},
        {"250ms", 250000, "250ms"},
        {"1500ms", 1500000, "1500ms"},
        {"3000ms", 3000000, "3s"},
        {"5m", 300000000, "5m"},
        {"90m", 5400000000, "90m"},
        {"24h", 86400000000, "1d"},
        {"106751991d", INT64_C(106751991) * 86400000000, "106751991d"},
        {"106751992d", -1, ""},
        {"99999999999999999999ms", -1, ""},
        {"5", -1, ""},
        {"5MB", -1, ""},
        {"3parsecs", -1, ""},
        {"1.5s", -1, ""},
        {"-1s", -1, ""},
        {"3S", -1, ""},
        {"s", -1, ""},
        {"", -1, ""},
        {"5 s", -1, ""},
        {"5us", -1, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char buf[UNIT_TEXT_BYTES];
        int64_t us = -2;
        const char *wrong = unit_parse_duration(cases[i].text, &us);
        assert_int_equal(wrong == NULL, cases[i].value >= 0);
        if (wrong != NULL)
            continue;
        assert_int_equal(us, cases[i].value);
        assert_string_equal(unit_print_duration(us, buf), cases[i].printed);
    }
    int64_t us;
    assert_string_equal(unit_parse_duration("5", &us), "needs a unit: ms, s, m, h or d");
}

static void sizes(void **state)
{
    (void)state;
    static const struct whole cases[] = {
        {"0", 0, "0"},
        {"512", 512, "512B"},
        {"1000B", 1000, "1000B"},
        {"64KB", 65536, "64KB"},
        {"1024KB", 1048576, "1MB"},
        {"256MB", 268435456, "256MB"},
        {"2GB", INT64_C(2147483648), "2GB"},
        {"8589934592GB", -1, ""},
        {"3s", -1, ""},
        {"1kb", -1, ""},
        {"1.5GB", -1, ""},
        {"-1", -1, ""},
        {"", -1, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char buf[UNIT_TEXT_BYTES];
        int64_t bytes = -2;
        assert_int_equal(unit_parse_size(cases[i].text, &bytes) == NULL, cases[i].value >= 0);
        if (cases[i].value < 0)
            continue;
        assert_int_equal(bytes, cases[i].value);
        assert_string_equal(unit_print_size(bytes, buf), cases[i].printed);
    }
}

static void integers(void **state)
{
    (void)state;
    int64_t value;
    assert_null(unit_parse_int("-42", &value));
    assert_int_equal(value, -42);
    assert_null(unit_parse_int("9223372036854775807", &value));
    assert_true(value == INT64_MAX);
    static const char *const refused[] = {"", "-", "+1", "1x", " 1", "0x10", "1.0", "9223372036854775808"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_non_null(unit_parse_int(refused[i], &value));
}

static void numbers_print_as_what_they_were(void **state)
{
    (void)state;
    static const char *const same[] = {"0", "1", "-1", "0.1", "200", "1.5", "1e+20", "0.30000000000000004"};
    double value;
    char buf[UNIT_TEXT_BYTES];
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        assert_null(unit_parse_number(same[i], &value));
        assert_string_equal(unit_print_number(value, buf), same[i]);
    }
    static const char *const refused[] = {"", "-", ".5", "1.", "1e", "1e+", "inf", "nan", "0x1", " 1", "1 ", "1e999"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_non_null(unit_parse_number(refused[i], &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),
        cmocka_unit_test(sizes),
        cmocka_unit_test(integers),
        cmocka_unit_test(numbers_print_as_what_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
