#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/redis_url.h"

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
    assert_string_equal(url.hosts[0].name, "127.0.0.1");
    assert_int_equal(url.hosts[0].port, 6379);
    assert_int_equal(url.db, 0);
    url = parse("redis://[::1]:7000/12");
    assert_string_equal(url.hosts[0].name, "::1");
    assert_int_equal(url.hosts[0].port, 7000);
    assert_int_equal(url.db, 12);
    assert_string_equal(parse("redis://h/").hosts[0].name, "h");
}

static void users_and_passwords(void **state)
{
    (void)state;
    struct redis_url url = parse("redis://:p%40ss:w@h:1/2");
    assert_string_equal(url.login.user, "");
    assert_string_equal(url.login.password, "p@ss:w");
    assert_string_equal(url.hosts[0].name, "h");
    url = parse("redis://ann:secret@h");
    assert_string_equal(url.login.user, "ann");
    assert_string_equal(url.login.password, "secret");
}

static void several_hosts(void **state)
{
    (void)state;
    struct redis_url url = parse("redis://:pw@a,[::1]:7001,c:7002/4");
    assert_int_equal(url.host_count, 3);
    assert_string_equal(url.hosts[1].name, "::1");
    assert_int_equal(url.hosts[0].port, 6379);
    assert_int_equal(url.hosts[1].port, 7001);
    assert_string_equal(url.hosts[2].name, "c");
    assert_int_equal(url.hosts[2].port, 7002);
    assert_int_equal(url.db, 4);
    assert_string_equal(url.service, "");
}

static void sentinels_and_their_own_login(void **state)
{
    (void)state;
    struct redis_url url = parse("redis+sentinel://ann:pw@s1,s2:1/mymaster/3?sentinel_user=w&sentinel_password=x%26y");
    assert_int_equal(url.host_count, 2);
    assert_int_equal(url.hosts[0].port, 26379);
    assert_int_equal(url.hosts[1].port, 1);
    assert_string_equal(url.service, "mymaster");
    assert_int_equal(url.db, 3);
    assert_string_equal(url.login.user, "ann");
    assert_string_equal(url.login.password, "pw");
    assert_string_equal(url.sentinel_login.user, "w");
    assert_string_equal(url.sentinel_login.password, "x&y");
    assert_string_equal(parse("redis+sentinel://s/m").service, "m");
}

static void sockets(void **state)
{
    (void)state;
    struct redis_url url = parse("unix:///run/redis%20a/r.sock?db=3");
    assert_string_equal(url.path, "/run/redis a/r.sock");
    assert_int_equal(url.db, 3);
    assert_string_equal(parse("redis+unix:///r.sock").path, "/r.sock");
    url = parse("unix://ann:pw@/r.sock");
    assert_string_equal(url.path, "/r.sock");
    assert_string_equal(url.login.password, "pw");
}

static void wrong_ones_are_refused_without_their_password(void **state)
{
    (void)state;
    static const char *const wrong[] = {"http://h",
                                        "redis://",
                                        "redis://:secret@",
                                        "redis://h:x",
                                        "redis://h:70000",
                                        "redis://h/x",
                                        "unix://relative",
                                        "unix:///s?x=1",
                                        "unix:///s?db=x",
                                        "redis://:secret@h:99999999999999999999",
                                        "redis://h:0",
                                        "redis://:secret@a,,b",
                                        "redis://[::1",
                                        "redis://[::1]x",
                                        "redis+sentinel://:secret@s",
                                        "redis+sentinel://s/",
                                        "redis+sentinel://s/m/x",
                                        "redis+sentinel://s/m?password=secret",
                                        "redis://1,2,3,4,5,6,7,8,9",
                                        "rediss://:secret@h"};
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
        cmocka_unit_test(several_hosts),
        cmocka_unit_test(sentinels_and_their_own_login),
        cmocka_unit_test(sockets),
        cmocka_unit_test(wrong_ones_are_refused_without_their_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
