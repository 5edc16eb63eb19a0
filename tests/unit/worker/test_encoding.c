#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/encoding.h"

static bool takes(const char *field)
{
    return encoding_takes_gzip(slice_str(field));
}

static void gzip_is_taken_where_it_is_named(void **state)
{
    (void)state;
    assert_true(takes("gzip"));
    assert_true(takes("gzip, deflate, br, zstd"));
    assert_true(takes("br;q=1.0, gzip;q=0.8, *;q=0.1"));
    assert_true(takes("  GZIP ; q=0.001 "));
    assert_true(takes("x-gzip"));
    assert_true(takes("deflate,,gzip;Q=1"));
    assert_true(takes("gzip;level=9;q=0.5"));
}

static void a_star_stands_for_it_unless_it_is_named(void **state)
{
    (void)state;
    assert_true(takes("*"));
    assert_true(takes("br, *;q=0.1"));
    assert_false(takes("*, gzip;q=0"));
    assert_false(takes("*;q=0"));
}

static void it_is_not_taken_where_refused_or_liked_less(void **state)
{
    (void)state;
    assert_false(takes(""));
    assert_false(encoding_takes_gzip(slice_of(NULL, 0)));
    assert_false(takes("identity"));
    assert_false(takes("br, deflate"));
    assert_false(takes("gzip;q=0"));
    assert_false(takes("gzip;q=0.000"));
    assert_false(takes("gzip;q=0.5, identity;q=0.6"));
    assert_true(takes("gzip;q=0.6, identity;q=0.5"));
    assert_false(takes("gzipped"));
}

static void a_weight_that_is_none_refuses(void **state)
{
    (void)state;
    static const char *const fields[] = {"gzip;q=",     "gzip;q=2",    "gzip;q=1.001", "gzip;q=0.0001",
                                         "gzip;q=-1",   "gzip;q=.5",   "gzip;q=a",     "gzip;q=0.a",
                                         "gzip;q=1.0x", "gzip;q=0,5;", "gzip;q=01"};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        assert_false(takes(fields[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gzip_is_taken_where_it_is_named),
        cmocka_unit_test(a_star_stands_for_it_unless_it_is_named),
        cmocka_unit_test(it_is_not_taken_where_refused_or_liked_less),
        cmocka_unit_test(a_weight_that_is_none_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
