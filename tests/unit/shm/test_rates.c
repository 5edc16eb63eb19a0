#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "shm/control.h"

static struct control control;
static struct rates *rates;

enum { NS_PER_MS = 1000000, SETS = 16384, WAYS = 8 };
static const int64_t NOW_US = 1000 * US_PER_S;
/* 100 a second, 5 at once. */
static const struct rate rate = {10 * NS_PER_MS, 50 * NS_PER_MS};

static int set_up(void **state)
{
    struct err err;
    (void)state;
    bool ok = control_create(&control, &err);
    rates = control.rates;
    return ok ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    control_destroy(&control);
    return 0;
}

static uint64_t key_of(const char *name)
{
    return rates_key(rates, SLICE("scope"), slice_str(name));
}

static struct rate_verdict take(const char *name, int64_t now_us)
{
    return rates_take(rates, key_of(name), &rate, now_us);
}

static int take_all(uint64_t key, const struct rate *r, int64_t now_us)
{
    int taken = 0;
    while (rates_take(rates, key, r, now_us).passes)
        taken++;
    return taken;
}

static void so_many_pass_at_once_and_the_rest_evenly(void **state)
{
    (void)state;
    for (int left = 4; left >= 0; left--) {
        struct rate_verdict v = take("a", NOW_US);
        assert_true(v.passes && v.counted);
        assert_int_equal(v.left, left);
        assert_int_equal(v.wait_us, left > 0 ? (5 - left) * 10 * US_PER_MS : 10 * US_PER_MS);
    }
    struct rate_verdict v = take("a", NOW_US);
    assert_false(v.passes);
    assert_int_equal(v.left, 0);
    assert_int_equal(v.wait_us, 10 * US_PER_MS);
    v = take("a", NOW_US + 10 * US_PER_MS - 1);
    assert_false(v.passes);
    assert_int_equal(v.wait_us, 1);
    assert_true(take("a", NOW_US + 10 * US_PER_MS).passes);
    assert_false(take("a", NOW_US + 10 * US_PER_MS).passes);
    assert_true(take("a", NOW_US + 30 * US_PER_MS).passes);
    assert_true(take("a", NOW_US + 30 * US_PER_MS).passes);
    assert_false(take("a", NOW_US + 30 * US_PER_MS).passes);
}

static void what_is_refused_costs_nothing(void **state)
{
    (void)state;
    assert_int_equal(take_all(key_of("a"), &rate, NOW_US), 5);
    for (int i = 0; i < 1000; i++)
        assert_false(take("a", NOW_US).passes);
    assert_true(take("a", NOW_US + 10 * US_PER_MS).passes);
}

static void who_was_away_has_no_more_than_a_burst(void **state)
{
    (void)state;
    assert_int_equal(take_all(key_of("a"), &rate, NOW_US), 5);
    assert_int_equal(take_all(key_of("a"), &rate, NOW_US + 50 * US_PER_MS), 5);
    assert_int_equal(take_all(key_of("a"), &rate, NOW_US + 3600 * US_PER_S), 5);
}

static void consumers_and_scopes_are_apart(void **state)
{
    (void)state;
    assert_int_equal(take_all(key_of("a"), &rate, NOW_US), 5);
    assert_int_equal(take_all(key_of("b"), &rate, NOW_US), 5);
    assert_int_equal(take_all(rates_key(rates, SLICE("other"), SLICE("a")), &rate, NOW_US), 5);
}

static void slow_and_fast_rates_are_exact(void **state)
{
    (void)state;
    const int64_t hour_ns = INT64_C(3600) * 1000 * NS_PER_MS;
    const struct rate hourly = {hour_ns, 1000000 * hour_ns}, fast = {1000, 1000 * INT64_C(1000000)};
    for (int i = 0; i < 3; i++)
        assert_true(rates_take(rates, key_of("slow"), &hourly, NOW_US).passes);
    assert_int_equal(rates_take(rates, key_of("slow"), &hourly, NOW_US).left, 1000000 - 4);
    assert_int_equal(rates_take(rates, key_of("slow"), &hourly, NOW_US + 3600 * US_PER_S).left, 1000000 - 4);
    assert_int_equal(take_all(key_of("fast"), &fast, NOW_US), 1000000);
    assert_int_equal(take_all(key_of("fast"), &fast, NOW_US + 7), 7);
}

/* After a reload: what was left of a larger burst is not held against it for longer than the smaller one lasts. */
static void another_rate_goes_on_from_where_the_consumer_is(void **state)
{
    (void)state;
    const struct rate larger = {10 * NS_PER_MS, 1000 * INT64_C(10) * NS_PER_MS};
    assert_int_equal(take_all(key_of("a"), &larger, NOW_US), 1000);
    struct rate_verdict v = take("a", NOW_US);
    assert_false(v.passes);
    assert_int_equal(v.wait_us, 10 * US_PER_MS);
    assert_true(take("a", NOW_US + 10 * US_PER_MS).passes);
    assert_int_equal(take_all(key_of("a"), &rate, NOW_US + 60 * US_PER_MS), 5);
    assert_int_equal(take_all(key_of("b"), &rate, NOW_US), 5);
    assert_int_equal(take_all(key_of("b"), &larger, NOW_US), 995);
}

/* Keys of one set. */
static uint64_t neighbour(int i)
{
    return UINT64_C(1) << 63 | (uint64_t)(i * SETS + 77);
}

static void a_full_set_lets_pass_uncounted_until_somebody_has_gone(void **state)
{
    (void)state;
    for (int i = 0; i < WAYS; i++)
        assert_true(rates_take(rates, neighbour(i), &rate, NOW_US).counted);
    for (int i = 0; i < 100; i++) {
        struct rate_verdict v = rates_take(rates, neighbour(WAYS), &rate, NOW_US);
        assert_true(v.passes);
        assert_false(v.counted);
    }
    assert_int_equal(take_all(neighbour(0), &rate, NOW_US), 4);
    /* All but the first are as if they had never been here. */
    assert_true(rates_take(rates, neighbour(WAYS), &rate, NOW_US + 10 * US_PER_MS).counted);
    assert_int_equal(take_all(neighbour(WAYS), &rate, NOW_US + 10 * US_PER_MS), 4);
    assert_int_equal(take_all(neighbour(0), &rate, NOW_US + 10 * US_PER_MS), 1);
}

static void keys_depend_on_a_secret(void **state)
{
    (void)state;
    struct control other;
    struct err err;
    assert_true(control_create(&other, &err));
    assert_int_not_equal(key_of("a"), rates_key(other.rates, SLICE("scope"), SLICE("a")));
    control_destroy(&other);
}

/* ---- processes that meet ---- */

enum { CHILDREN = 4, CONSUMERS = 50, BURST = 300 };

struct passed {
    _Atomic uint32_t by[CONSUMERS];
};

static void ask_often(struct passed *passed)
{
    static const struct rate all = {1000 * INT64_C(1000) * NS_PER_MS, BURST * (1000 * INT64_C(1000) * NS_PER_MS)};
    char name[16];
    for (int i = 0; i < BURST; i++)
        for (int c = 0; c < CONSUMERS; c++) {
            snprintf(name, sizeof name, "%d", c);
            if (rates_take(rates, key_of(name), &all, NOW_US).passes)
                passed->by[c]++;
        }
}

static void all_processes_count_in_the_same_bucket(void **state)
{
    (void)state;
    struct passed *passed = mmap(NULL, sizeof *passed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(passed, MAP_FAILED);
    for (int i = 0; i < CHILDREN; i++) {
        if (fork() != 0)
            continue;
        ask_often(passed);
        _exit(0);
    }
    for (int i = 0; i < CHILDREN; i++)
        wait(NULL);
    for (int c = 0; c < CONSUMERS; c++)
        assert_int_equal(passed->by[c], BURST);
    munmap(passed, sizeof *passed);
}

#define in_control(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_control(so_many_pass_at_once_and_the_rest_evenly),
        in_control(what_is_refused_costs_nothing),
        in_control(who_was_away_has_no_more_than_a_burst),
        in_control(consumers_and_scopes_are_apart),
        in_control(slow_and_fast_rates_are_exact),
        in_control(another_rate_goes_on_from_where_the_consumer_is),
        in_control(a_full_set_lets_pass_uncounted_until_somebody_has_gone),
        in_control(keys_depend_on_a_secret),
        in_control(all_processes_count_in_the_same_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
