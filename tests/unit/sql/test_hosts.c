#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql/hosts.h"

static void names(const char *conninfo, const char *expected)
{
    char *found = hosts_names(conninfo);
    if (expected == NULL)
        assert_null(found);
    else
        assert_string_equal(found, expected);
    free(found);
}

static void only_names_are_resolved(void **state)
{
    (void)state;
    names("postgresql://u@db.example/x", "db.example");
    names("host=a,/run/pg,b port=1,2,3", "a,/run/pg,b");
    names("postgresql://u@127.0.0.1/x", NULL);
    names("postgresql://u@[::1]:5/x", NULL);
    names("postgresql:///x?host=/run/postgresql", NULL);
    names("postgresql:///x", NULL);
    names("host=a hostaddr=10.0.0.1", NULL);
    names("not a conninfo", NULL);
}

/* name|address|port of each, with blanks between them. */
static void lists(const char *conninfo, const char *addresses, int only, const char *expected)
{
    char text[400] = "";
    struct hosts hosts = hosts_list(conninfo, addresses, only);
    for (int i = 0; i < hosts.count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s|%s|%s", i > 0 ? " " : "", hosts.at[i].name,
                 hosts.at[i].address, hosts.at[i].port);
    assert_string_equal(text, expected);
    hosts_deinit(&hosts);
}

static void each_address_is_a_host(void **state)
{
    (void)state;
    lists("host=a", "10.0.0.1", -1, "a|10.0.0.1|");
    lists("host=a port=7", "10.0.0.1 ::1", -1, "a|10.0.0.1|7 a|::1|7");
    lists("host=a,/run,b port=1,2,3", "10.0.0.1 10.0.0.2,,10.0.0.3", -1,
          "a|10.0.0.1|1 a|10.0.0.2|1 /run||2 b|10.0.0.3|3");
}

static void a_name_that_is_not_known_is_left_out(void **state)
{
    (void)state;
    lists("host=a,b port=1,2", ",10.0.0.2", -1, "b|10.0.0.2|2");
    lists("host=a,b", ",", -1, "");
}

static void hosts_that_need_no_names_are_listed_as_they_stand(void **state)
{
    (void)state;
    lists("postgresql://u@127.0.0.1:5,[::1]:6/x", NULL, -1, "127.0.0.1||5 ::1||6");
    lists("host=/a,/b port=7", NULL, -1, "/a||7 /b||7");
    lists("host=a,b hostaddr=10.0.0.1,10.0.0.2", NULL, -1, "a|10.0.0.1| b|10.0.0.2|");
    lists("hostaddr=10.0.0.1,10.0.0.2 port=5,6", NULL, -1, "|10.0.0.1|5 |10.0.0.2|6");
    lists("postgresql:///x", NULL, -1, "");
}

static void what_libpq_refuses_is_not_listed(void **state)
{
    (void)state;
    lists("host=/a,/b port=1,2,3", NULL, -1, "");
    lists("host=a,b hostaddr=10.0.0.1", NULL, -1, "");
    lists("not a conninfo", NULL, -1, "");
}

static void one_host_can_be_picked(void **state)
{
    (void)state;
    lists("host=/a,/b port=1,2", NULL, 1, "/b||2");
    lists("host=a,b port=1,2", "10.0.0.1,10.0.0.2 10.0.0.3", 1, "b|10.0.0.2|2 b|10.0.0.3|2");
    assert_int_equal(hosts_count("host=/a,/b"), 2);
    assert_int_equal(hosts_count("postgresql://a,b,c/x"), 3);
    assert_int_equal(hosts_count("postgresql:///x"), 1);
}

static void the_role_is_what_target_session_attrs_says(void **state)
{
    (void)state;
    assert_int_equal(hosts_role("postgresql://a,b/x"), HOSTS_UNSAID);
    assert_int_equal(hosts_role("postgresql://a,b/x?target_session_attrs=read-write"), HOSTS_PRIMARY);
    assert_int_equal(hosts_role("host=a target_session_attrs=primary"), HOSTS_PRIMARY);
    assert_int_equal(hosts_role("host=a target_session_attrs=read-only"), HOSTS_STANDBY);
    assert_int_equal(hosts_role("host=a target_session_attrs=standby"), HOSTS_STANDBY);
    assert_int_equal(hosts_role("host=a target_session_attrs=any"), HOSTS_ANY);
    assert_int_equal(hosts_role("host=a target_session_attrs=prefer-standby"), HOSTS_ANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_names_are_resolved),
        cmocka_unit_test(each_address_is_a_host),
        cmocka_unit_test(a_name_that_is_not_known_is_left_out),
        cmocka_unit_test(hosts_that_need_no_names_are_listed_as_they_stand),
        cmocka_unit_test(what_libpq_refuses_is_not_listed),
        cmocka_unit_test(one_host_can_be_picked),
        cmocka_unit_test(the_role_is_what_target_session_attrs_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
