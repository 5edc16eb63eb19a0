#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "worker/redis_url.h"

static struct redis_url parse(const char *text)
{
    struct redis_url url;
    struct err err;
    if (!redis_url_parse(text, &url, &err))
        fail_msg("%s: %s", text, err.text);
    return url;
}

static void hosts_ports_and_databases(void **state)
{
    (void)state;
    struct redis_url url = parse("redis://127.0.0.1");
    assert_string_equal(url.host, "127.0.0.1");
    assert_int_equal(url.port, 6379);
    assert_int_equal(url.db, 0);
    url = parse("redis://[::1]:7000/12");
    assert_string_equal(url.host, "::1");
    assert_int_equal(url.port, 7000);
    assert_int_equal(url.db, 12);
    assert_string_equal(parse("redis://h/").host, "h");
}

static void users_and_passwords(void **state)
{
    (void)state;
    struct redis_url url = parse("redis://:p%40ss:w@h:1/2");
    assert_string_equal(url.user, "");
    assert_string_equal(url.password, "p@ss:w");
    assert_string_equal(url.host, "h");
    url = parse("redis://ann:secret@h");
    assert_string_equal(url.user, "ann");
    assert_string_equal(url.password, "secret");
}

static void sockets(void **state)
{
    (void)state;
    struct redis_url url = parse("unix:///run/redis%20a/r.sock?db=3");
    assert_string_equal(url.path, "/run/redis a/r.sock");
    assert_int_equal(url.db, 3);
    assert_string_equal(parse("redis+unix:///r.sock").path, "/r.sock");
}

static void wrong_ones_are_refused_without_their_password(void **state)
{
    (void)state;
    static const char *const wrong[] = {"http://h",         "redis://",
                                        "redis://:secret@", "redis://h:x",
                                        "redis://h:70000",  "redis://h/x",
                                        "unix://relative",  "unix:///s?x=1",
                                        "unix:///s?db=x",   "redis://:secret@h:99999999999999999999"};
    struct redis_url url;
    struct err err;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_false(redis_url_parse(wrong[i], &url, &err));
        assert_null(strstr(err.text, "secret"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_ports_and_databases),
        cmocka_unit_test(users_and_passwords),
        cmocka_unit_test(sockets),
        cmocka_unit_test(wrong_ones_are_refused_without_their_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
