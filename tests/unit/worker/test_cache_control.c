#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "worker/cache_control.h"

#define MOST CACHE_CONTROL_SECONDS_MAX

/* What was read, as one line: the flags that are set, the numbers that are given. */
static const char *told(const char *list)
{
    static char text[400];
    const struct cache_control cc = cache_control_parse(slice_str(list));
    const struct {
        const char *name;
        bool flag;
        int64_t seconds;
    } parts[] = {{"no-store", cc.no_store, -1},
                 {"no-cache", cc.no_cache, -1},
                 {"private", cc.is_private, -1},
                 {"public", cc.is_public, -1},
                 {"must-revalidate", cc.must_revalidate, -1},
                 {"proxy-revalidate", cc.proxy_revalidate, -1},
                 {"must-understand", cc.must_understand, -1},
                 {"max-age", false, cc.max_age_s},
                 {"s-maxage", false, cc.s_maxage_s},
                 {"swr", false, cc.stale_while_revalidate_s},
                 {"sie", false, cc.stale_if_error_s}};
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const char *gap = len > 0 ? " " : "";
        if (parts[i].flag)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", gap, parts[i].name);
        else if (parts[i].seconds >= 0)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s=%lld", gap, parts[i].name,
                                    (long long)parts[i].seconds);
    }
    return text;
}

static const struct {
    const char *list, *means;
} vectors[] = {
    {"", ""},
    {"no-store", "no-store"},
    {"NO-STORE", "no-store"},
    {"no-cache", "no-cache"},
    {"private", "private"},
    {"public", "public"},
    {"must-revalidate", "must-revalidate"},
    {"proxy-revalidate", "proxy-revalidate"},
    {"must-understand, no-store", "no-store must-understand"},
    {"max-age=60", "max-age=60"},
    {"Max-Age=60", "max-age=60"},
    {"max-age=0", "max-age=0"},
    {"max-age=00060", "max-age=60"},
    {"s-maxage=5,max-age=60", "max-age=60 s-maxage=5"},
    {"max-age=60, stale-while-revalidate=30, stale-if-error=90", "max-age=60 swr=30 sie=90"},
    /* white space and empty elements */
    {" max-age=60 ", "max-age=60"},
    {"\tno-cache\t,\tno-store\t", "no-store no-cache"},
    {",,no-cache,,", "no-cache"},
    {",", ""},
    {"max-age=60,", "max-age=60"},
    {"max-age=60,,public", "public max-age=60"},
    {"max-age =60", "max-age=60"},
    {"max-age= 60", "max-age=60"},
    /* quotes */
    {"max-age=\"60\"", "max-age=60"},
    {"max-age=\"\"", "max-age=0"},
    {"no-cache=\"set-cookie\"", "no-cache"},
    {"private=\"x-user, x-mail\", max-age=60", "private max-age=60"},
    {"foo=\"max-age=100\", max-age=5", "max-age=5"},
    {"foo=\"no-store, private\", max-age=5", "max-age=5"},
    {"foo=\"a\\\"b, no-store\", max-age=5", "max-age=5"},
    {"foo=\"a\\\\\", no-store", "no-store"},
    {"private=\"x-user, max-age=60", "no-store"},
    {"max-age=60, foo=\"bar", "no-store max-age=60"},
    {"\"", "no-store"},
    {"foo=\"\\", "no-store"},
    /* numbers that are none */
    {"max-age", "max-age=0"},
    {"max-age=", "max-age=0"},
    {"max-age=-1", "max-age=0"},
    {"max-age=+60", "max-age=0"},
    {"max-age=1.5", "max-age=0"},
    {"max-age=60s", "max-age=0"},
    {"max-age=abc", "max-age=0"},
    {"max-age=0x10", "max-age=0"},
    {"max-age='60'", "max-age=0"},
    {"max-age=6 0", "max-age=0"},
    {"s-maxage=x, max-age=60", "max-age=60 s-maxage=0"},
    {"stale-while-revalidate=x", "swr=0"},
    {"stale-if-error", "sie=0"},
    /* numbers that are large */
    {"max-age=2147483647", "max-age=2147483647"},
    {"max-age=2147483648", "max-age=2147483648"},
    {"max-age=2147483649", "max-age=2147483648"},
    {"max-age=4294967296", "max-age=2147483648"},
    {"max-age=18446744073709551616", "max-age=2147483648"},
    {"max-age=99999999999999999999999999999999999999999999", "max-age=2147483648"},
    {"s-maxage=99999999999", "s-maxage=2147483648"},
    /* twice */
    {"max-age=10, max-age=20", "max-age=10"},
    {"max-age=20, max-age=10", "max-age=20"},
    {"max-age=x, max-age=10", "max-age=0"},
    {"no-cache, no-cache", "no-cache"},
    {"max-age=10, MAX-AGE=20", "max-age=10"},
    /* what is not known here */
    {"immutable, max-age=60", "max-age=60"},
    {"no-transform", ""},
    {"only-if-cached, min-fresh=5, max-stale", ""}, /* of requests */
    {"x-max-age=60", ""},
    {"max-agee=60", ""},
    {"max-ag=60", ""},
    {"nostore", ""},
    {"no-store2", ""},
    {"foo=bar, max-age=60, baz", "max-age=60"},
    /* flags with a value that they do not have */
    {"no-store=1", "no-store"},
    {"public=\"x\"", "public"},
    {"must-revalidate=0", "must-revalidate"},
    /* other separators are part of a name */
    {"no-cache; no-store", ""},
    {"max-age=60; public", "max-age=0"},
};

static void directives_mean_what_the_rfc_says_or_less(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
        if (strcmp(told(vectors[i].list), vectors[i].means) != 0)
            fail_msg("[%s] gave [%s], not [%s]", vectors[i].list, told(vectors[i].list), vectors[i].means);
}

static void seconds_are_digits(void **state)
{
    (void)state;
    assert_int_equal(cache_control_seconds(SLICE("0")), 0);
    assert_int_equal(cache_control_seconds(SLICE("17")), 17);
    assert_int_equal(cache_control_seconds(SLICE("2147483648")), MOST);
    assert_int_equal(cache_control_seconds(SLICE("99999999999999999999")), MOST);
    assert_int_equal(cache_control_seconds(SLICE("")), CACHE_CONTROL_NONE);
    assert_int_equal(cache_control_seconds(slice_of(NULL, 0)), CACHE_CONTROL_NONE);
    assert_int_equal(cache_control_seconds(SLICE("-1")), CACHE_CONTROL_NONE);
    assert_int_equal(cache_control_seconds(SLICE("1 ")), CACHE_CONTROL_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directives_mean_what_the_rfc_says_or_less),
        cmocka_unit_test(seconds_are_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
