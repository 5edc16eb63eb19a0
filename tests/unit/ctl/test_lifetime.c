#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "common/clock.h"
#include "master/ctl/advise/lifetime.h"

enum { REQUESTS = 200000, SEED = 7 };

struct life {
    int64_t hits, expired, idle;
};

/* What becomes of a key's requests at a rate, by the rules of the cache. */
static struct life live(double per_s, int64_t ttl_us, int64_t tti_us)
{
    struct life life = {0};
    double at = 0, stored = 0, asked = 0;
    srandom(SEED);
    for (int i = 0; i < REQUESTS; i++) {
        at -= log(((double)random() + 1) / ((double)RAND_MAX + 1)) / per_s * US_PER_S;
        bool fresh = ttl_us == 0 || at - stored < (double)ttl_us, used = tti_us == 0 || at - asked < (double)tti_us;
        life.hits += fresh && used;
        life.expired += !fresh;
        life.idle += fresh && !used;
        stored = fresh && used ? stored : at;
        asked = at;
    }
    return life;
}

static double lost(const struct life *life)
{
    return (double)(life->expired + life->idle) / REQUESTS;
}

static void a_ttl_keeps_nineteen_of_twenty(void **state)
{
    (void)state;
    struct life now = live(3, US_PER_S, 0);
    int64_t ttl_us = lifetime_ttl_us(US_PER_S, now.hits, now.expired);
    struct life then = live(3, ttl_us, 0);
    assert_true(lost(&now) > 0.2);
    assert_true(fabs(lost(&then) - 0.05) < 0.005);
}

static void a_tti_keeps_nineteen_of_twenty(void **state)
{
    (void)state;
    struct life now = live(1, 0, US_PER_S);
    int64_t tti_us = lifetime_tti_us(US_PER_S, now.hits, now.idle, 0);
    struct life then = live(1, 0, tti_us);
    assert_true(lost(&now) > 0.2);
    assert_true(fabs(lost(&then) - 0.05) < 0.005);
}

static void no_tti_is_longer_than_the_ttl(void **state)
{
    (void)state;
    assert_int_equal(lifetime_tti_us(US_PER_S, 100, 100, 2 * US_PER_S), 2 * US_PER_S);
}

static void growth_has_its_bounds(void **state)
{
    (void)state;
    assert_int_equal(lifetime_ttl_us(US_PER_S, 0, 100), 10 * US_PER_S);
    assert_int_equal(lifetime_ttl_us(US_PER_S, 100000, 1), 2 * US_PER_S);
    assert_int_equal(lifetime_tti_us(US_PER_S, 0, 100, 0), 10 * US_PER_S);
    assert_int_equal(lifetime_tti_us(US_PER_S, 1, 100000, 0), 10 * US_PER_S);
    assert_int_equal(lifetime_ttl_us(300 * US_PER_S, 200, 100), 2900 * US_PER_S); /* 2850: 9.5 times, two digits */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ttl_keeps_nineteen_of_twenty),
        cmocka_unit_test(a_tti_keeps_nineteen_of_twenty),
        cmocka_unit_test(no_tti_is_longer_than_the_ttl),
        cmocka_unit_test(growth_has_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
