#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

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

static void expands(const char *conninfo, const char *addresses, const char *host, const char *hostaddr,
                    const char *port)
{
    struct hosts hosts = hosts_expand(conninfo, addresses);
    assert_string_equal(hosts.host.at, host);
    assert_string_equal(hosts.hostaddr.at, hostaddr);
    assert_string_equal(hosts.port.at, port);
    hosts_deinit(&hosts);
}

static void each_address_is_a_host(void **state)
{
    (void)state;
    expands("host=a", "10.0.0.1", "a", "10.0.0.1", "");
    expands("host=a port=7", "10.0.0.1 ::1", "a,a", "10.0.0.1,::1", "7,7");
    expands("host=a,/run,b port=1,2,3", "10.0.0.1 10.0.0.2,,10.0.0.3", "a,a,/run,b", "10.0.0.1,10.0.0.2,,10.0.0.3",
            "1,1,2,3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_names_are_resolved),
        cmocka_unit_test(each_address_is_a_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
