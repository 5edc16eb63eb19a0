#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/resolve.h"

static char *answer(const char *hosts, const char **error)
{
    int fd;
    struct resolve *r = resolve_start(hosts, &fd);
    assert_non_null(r);
    struct pollfd p = {fd, POLLIN, 0};
    assert_int_equal(poll(&p, 1, 10000), 1);
    char *addresses = resolve_take(r, error);
    resolve_destroy(&r);
    return addresses;
}

static void names_are_told_from_addresses(void **state)
{
    (void)state;
    assert_true(resolve_is_name("localhost"));
    assert_false(resolve_is_name("127.0.0.1"));
    assert_false(resolve_is_name("::1"));
    assert_false(resolve_is_name("/run/postgresql"));
    assert_false(resolve_is_name(""));
}

static void each_host_gets_an_address(void **state)
{
    (void)state;
    const char *error;
    char *addresses = answer("10.1.2.3,localhost,/tmp", &error);
    assert_null(error);
    char *local = addresses + strlen("10.1.2.3,");
    local[strcspn(local, " ,")] = '\0';
    assert_true(strcmp(local, "127.0.0.1") == 0 || strcmp(local, "::1") == 0);
    free(addresses);
}

static void an_unknown_name_is_an_error(void **state)
{
    (void)state;
    const char *error = NULL;
    assert_null(answer("no-such-host.invalid", &error));
    assert_non_null(error);
}

static void one_unknown_name_does_not_hide_the_others(void **state)
{
    (void)state;
    const char *error;
    char *addresses = answer("no-such-host.invalid,10.1.2.3", &error);
    assert_non_null(addresses);
    assert_string_equal(addresses, ",10.1.2.3");
    free(addresses);
}

static void who_does_not_wait_leaves_nothing_behind(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        int fd;
        struct resolve *r = resolve_start("127.0.0.1", &fd);
        assert_non_null(r);
        resolve_destroy(&r);
        assert_null(r);
    }
}

/* The door of name lookups: closed, they wait before it. */
static pthread_mutex_t door = PTHREAD_MUTEX_INITIALIZER;
static atomic_int before_it, most_before_it;

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    void *next = dlsym(RTLD_NEXT, "getaddrinfo");
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    memcpy(&real, &next, sizeof real);
    int now = atomic_fetch_add(&before_it, 1) + 1;
    for (int most = most_before_it; now > most && !atomic_compare_exchange_weak(&most_before_it, &most, now);)
        ;
    pthread_mutex_lock(&door);
    atomic_fetch_sub(&before_it, 1);
    pthread_mutex_unlock(&door);
    return real(host, service, hints, found);
}

static void many_are_resolved_by_a_few_threads(void **state)
{
    (void)state;
    enum { MANY = 40 };
    struct resolve *all[MANY];
    int fds[MANY];
    most_before_it = 0;
    pthread_mutex_lock(&door);
    for (int i = 0; i < MANY; i++) {
        all[i] = resolve_start("localhost", &fds[i]);
        assert_non_null(all[i]);
    }
    for (int tries = 0; before_it < 4 && tries < 10000; tries++)
        usleep(1000);
    usleep(20000); /* for a fifth to come, which must not */
    assert_int_equal(before_it, 4);
    resolve_destroy(&all[MANY - 1]);
    pthread_mutex_unlock(&door);
    for (int i = 0; i < MANY - 1; i++) {
        const char *error;
        struct pollfd p = {fds[i], POLLIN, 0};
        assert_int_equal(poll(&p, 1, 30000), 1);
        char *addresses = resolve_take(all[i], &error);
        assert_non_null(addresses);
        free(addresses);
        resolve_destroy(&all[i]);
    }
    assert_int_equal(most_before_it, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_told_from_addresses),
        cmocka_unit_test(each_host_gets_an_address),
        cmocka_unit_test(an_unknown_name_is_an_error),
        cmocka_unit_test(one_unknown_name_does_not_hide_the_others),
        cmocka_unit_test(who_does_not_wait_leaves_nothing_behind),
        cmocka_unit_test(many_are_resolved_by_a_few_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
