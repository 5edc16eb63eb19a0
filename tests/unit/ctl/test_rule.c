#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "master/ctl/check/measure.h"

static struct rule rule_of(const char *text)
{
    struct rule rule;
    struct rule_error error;
    if (!rule_parse(text, &rule, &error))
        fail_msg("\"%s\" is refused at %zu: %s", text, error.at, error.what);
    return rule;
}

static void a_rule_has_its_parts(void **state)
{
    (void)state;
    struct rule rule = rule_of("  each p95( GET /a(b)* )<=1.5s ");
    assert_true(rule.each);
    assert_int_equal(rule.subject, RULE_p95);
    assert_string_equal(rule.name, "GET /a(b)*");
    assert_int_equal(rule.op, RULE_AT_MOST);
    assert_int_equal(rule.unit, RULE_TIME);
    assert_true(rule.limit > 1499999 && rule.limit < 1500001);
    rule = rule_of("errors(*)<0.1%");
    assert_int_equal(rule.of, OF_ROUTES);
    assert_true(rule.limit > 0.00099 && rule.limit < 0.00101);
    assert_int_equal(rule_of("pool.sat >= 0.5").subject, RULE_pool_sat);
    assert_int_equal(rule_of("rate(*)>600/m").limit, 10);
    assert_int_equal(rule_of("cache_used_bytes<2MB").limit, 2 << 20);
}

/* The quantile of a time of stats.def, in two spellings; a metric may end in _max. */
static void names_of_metrics_may_have_dots(void **state)
{
    (void)state;
    const char *const same[] = {"pool.wait.p95<1ms", "pool_wait.p95 < 1ms", "p95(pool_wait) < 1ms",
                                "p95(pool.wait)<1ms"};
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        struct rule rule = rule_of(same[i]);
        assert_int_equal(rule.subject, RULE_p95);
        assert_int_equal(rule.of, OF_METRIC);
        assert_string_equal(rule.name, "pool_wait");
    }
    assert_int_equal(rule_of("pool_max>1").subject, RULE_value);
    assert_string_equal(rule_of("pool_max>1").name, "pool_max");
    assert_int_equal(rule_of("some.rate>1").subject, RULE_value);
    assert_string_equal(rule_of("some.rate>1").name, "some_rate");
}

static void a_limit_is_met_or_not(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool below, equal, above;
    } cases[] = {{"in_flight<5", true, false, false},
                 {"in_flight<=5", true, true, false},
                 {"in_flight>5", false, false, true},
                 {"in_flight>=5", false, true, true}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule rule = rule_of(cases[i].text);
        assert_int_equal(rule_holds(&rule, 4.999), cases[i].below);
        assert_int_equal(rule_holds(&rule, 5), cases[i].equal);
        assert_int_equal(rule_holds(&rule, 5.001), cases[i].above);
    }
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t at;
        const char *what;
    } cases[] = {
        {"", 0, "is missing"},
        {"p95(*", 5, "a ) is missing"},
        {"p95(*)", 6, "one of <"},
        {"p95(*) = 5ms", 7, "one of <"},
        {"p95(*) <", 8, "a number is missing"},
        {"p95(*) << 5ms", 8, "a number is missing"},
        {"p95(*) < 5", 9, "it is a time"},
        {"p95(*) < 5%", 9, "it is a time"},
        {"p95(*) < 5 parsecs", 11, "no unit"},
        {"p95(*) < 1.2.3s", 9, "no number"},
        {"p95(*) < 5ms 6", 13, "more than a rule"},
        {"p95 < 5ms", 0, "needs its routes"},
        {"p96(*) < 5ms", 0, "nothing that takes"},
        {"pool.sat(*) < 5%", 8, "stands alone"},
        {"pool.sat < 90", 11, "it is a share"},
        {"hit() > 5%", 4, "the routes are missing"},
        {"hit(pool_wait) > 5%", 4, "it is of routes"},
        {"each pool.sat < 5%", 5, "each is of routes"},
        {"rate(*) < 5%", 10, "it is a rate"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule rule;
        struct rule_error error = {99, ""};
        assert_false(rule_parse(cases[i].text, &rule, &error));
        if (error.at != cases[i].at || strstr(error.what, cases[i].what) == NULL)
            fail_msg("\"%s\": at %zu \"%s\", not at %zu \"%s\"", cases[i].text, error.at, error.what, cases[i].at,
                     cases[i].what);
    }
    char longest[RULE_BYTES + 1];
    struct rule rule;
    struct rule_error error;
    memset(longest, ' ', sizeof longest - 1);
    longest[RULE_BYTES] = '\0';
    assert_false(rule_parse(longest, &rule, &error));
    assert_non_null(strstr(error.what, "longer"));
}

/* ---- what they measure ---- */

static char path[64];
static struct stats *stats;
static struct stats_view *view;

static int setup(void **state)
{
    struct err err;
    (void)state;
    snprintf(path, sizeof path, "/tmp/perfd-rule.XXXXXX");
    close(mkstemp(path));
    stats = stats_create(path, 2, 4, &err);
    view = stats_view_open(path, &err);
    return stats == NULL || view == NULL;
}

static int teardown(void **state)
{
    (void)state;
    stats_view_close(&view);
    stats_close(&stats);
    return unlink(path);
}

static void answer(int row, int count, int64_t us, enum route_hist kind)
{
    stats_route_add(stats, 0, row, ROUTE_STAT_requests, count);
    stats_route_add(stats, 0, row, ROUTE_STAT_hits, kind == ROUTE_HIST_hit ? count : 0);
    stats_route_add(stats, 0, row, ROUTE_STAT_errors_5xx, kind == ROUTE_HIST_error ? count : 0);
    for (int i = 0; i < count; i++)
        stats_route_observe(stats, 0, row, kind, us);
}

/* Of the ten seconds in which what `act` does came. */
static struct measure measured(const char *text, void (*act)(void))
{
    struct rule rule = rule_of(text);
    struct rule_error error;
    struct err err;
    enum rule_dimension dimension;
    struct measure m = {.row = -1};
    struct snapshot *first = snapshot_take(view, 100 * US_PER_S);
    if (!measure_resolve(&rule, first, &dimension, &error))
        fail_msg("%s: %s", text, error.what);
    act();
    struct snapshot *last = snapshot_take(view, 110 * US_PER_S), *between = snapshot_between(first, last, &err);
    assert_non_null(between);
    measure_look(&rule, last, &m);
    measure_window(&rule, first, last, between, &m);
    snapshot_destroy(&first);
    snapshot_destroy(&last);
    snapshot_destroy(&between);
    return m;
}

static void nothing(void)
{
}

static void two_routes_answer(void)
{
    answer(stats_route_row(stats, "GET /quick"), 990, 60, ROUTE_HIST_hit);
    answer(stats_route_row(stats, "GET /slow"), 9, 60, ROUTE_HIST_miss);
    answer(stats_route_row(stats, "GET /slow"), 1, 5000000, ROUTE_HIST_error);
    stats_route_add(stats, 0, stats_route_row(stats, "GET /slow"), ROUTE_STAT_within_objective, 3);
    stats_route_add(stats, 0, stats_route_row(stats, "GET /slow"), ROUTE_STAT_over_objective, 1);
    stats_add(stats, 1, STAT_invalidations, 50);
    stats_observe(stats, 0, HIST_pool_wait, 40);
    stats_set(stats, 0, STAT_pool_max, 8);
    stats_set(stats, 1, STAT_pool_max, 8);
    stats_set(stats, 1, STAT_pool_active, 4);
    stats_set(stats, 0, STAT_pid, 77);
    stats_set(stats, 0, STAT_beat_us, 107 * US_PER_S);
    stats_set(stats, 0, STAT_cpu_us, 5 * US_PER_S);
    stats_set(stats, 0, STAT_memory_some_percent, 30);
    stats_set(stats, 0, STAT_cache_evicted, 70);
    stats_set(stats, 1, STAT_cache_evicted, 60); /* the same, some moments ago */
}

static void add_routes(void)
{
    (void)stats_route_row(stats, "GET /quick");
    (void)stats_route_row(stats, "GET /slow");
}

static void routes_are_taken_together_or_each(void **state)
{
    (void)state;
    add_routes();
    struct measure m = measured("p95(*)<1s", two_routes_answer);
    assert_true(m.known && !m.uncertain);
    assert_int_equal(m.value, 60);
    assert_int_equal(m.samples, 1000);
    m = measured("each max(GET /*)<1s", two_routes_answer);
    assert_true(m.value >= 5000000);
    assert_int_equal(m.row, stats_route_row(stats, "GET /slow"));
    assert_true(measured("p95(GET /slow)<1s", two_routes_answer).uncertain);
    m = measured("errors(GET /slow)<1%", two_routes_answer);
    assert_true(m.value > 0.099 && m.value < 0.101);
    m = measured("hit(*)>1%", two_routes_answer);
    assert_true(m.value > 0.989 && m.value < 0.991);
    m = measured("over(*)<1%", two_routes_answer);
    assert_true(m.value == 0.25 && m.samples == 4);
    assert_int_equal(measured("rate(GET /quick)>1", two_routes_answer).value, 99);
    /* The route that is worst for a lower bound is the one with least. */
    assert_int_equal(measured("each rate(*)>1", two_routes_answer).row, stats_route_row(stats, "GET /slow"));
}

static void what_did_not_come_is_not_measured(void **state)
{
    (void)state;
    add_routes();
    two_routes_answer();
    assert_false(measured("p95(*)<1s", nothing).known);
    assert_false(measured("each hit(*)>1%", nothing).known);
    assert_false(measured("cache.used<1%", nothing).known);
    struct measure m = measured("rate(*)>1", nothing);
    assert_true(m.known && m.value == 0);
}

static void metrics_by_their_name(void **state)
{
    (void)state;
    add_routes();
    assert_int_equal(measured("rate(invalidations)<1", two_routes_answer).value, 5);
    assert_int_equal(measured("invalidations<1", two_routes_answer).value, 50);
    stats_set(stats, 0, STAT_cache_evicted, 40);
    stats_set(stats, 1, STAT_cache_evicted, 40);
    assert_int_equal(measured("rate(cache_evicted)<100", two_routes_answer).value, 3);
    assert_int_equal(measured("pool.wait.p50<1s", two_routes_answer).value, 40);
    assert_int_equal(measured("pool_active<9", two_routes_answer).value, 4);
    assert_true(measured("pool.sat<90%", two_routes_answer).value == 0.25);
    assert_int_equal(measured("beat<1s", two_routes_answer).value, 3 * US_PER_S);
    struct measure m = measured("memory_some_percent<10%", two_routes_answer);
    assert_true(m.value > 0.299 && m.value < 0.301);
}

/* Whatever they are by the end. */
static void the_worst_look_at_a_gauge_counts(void **state)
{
    (void)state;
    const int64_t waiting[] = {3, 9, 0};
    struct measure most = {.row = -1}, least = {.row = -1};
    struct rule at_most = rule_of("pool_waiting<5"), at_least = rule_of("pool_waiting>5");
    for (size_t i = 0; i < ARRAY_LEN(waiting); i++) {
        stats_set(stats, 0, STAT_pool_waiting, waiting[i]);
        struct snapshot *s = snapshot_take(view, US_PER_S);
        measure_look(&at_most, s, &most);
        measure_look(&at_least, s, &least);
        snapshot_destroy(&s);
    }
    assert_int_equal(most.value, 9);
    assert_int_equal(least.value, 0);
}

/* A worker that was started again begins at nothing. */
static void cpu_is_that_of_the_workers_that_live(void **state)
{
    (void)state;
    stats_set(stats, 0, STAT_pid, 76);
    stats_set(stats, 0, STAT_cpu_us, 1000 * US_PER_S);
    struct measure m = measured("cpu<90%", two_routes_answer);
    assert_true(m.value > 0.499 && m.value < 0.501);
}

static void refused(const char *text, const char *what)
{
    struct rule rule = rule_of(text);
    struct rule_error error = {0, ""};
    enum rule_dimension dimension;
    struct snapshot *s = snapshot_take(view, US_PER_S);
    assert_false(measure_resolve(&rule, s, &dimension, &error));
    assert_non_null(strstr(error.what, what));
    snapshot_destroy(&s);
}

static void what_there_is_not_is_refused(void **state)
{
    (void)state;
    refused("p95(GET /none*)<1s", "no route");
    refused("p95(pool_waits)<1s", "no times");
    refused("pool_wait<1s", "no figure");
    refused("rate(pool_active)<1", "gauge");
    refused("pool_active<1s", "count");
    refused("cpu_us<5", "time");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_has_its_parts),
        cmocka_unit_test(names_of_metrics_may_have_dots),
        cmocka_unit_test(a_limit_is_met_or_not),
        cmocka_unit_test(what_is_wrong_is_told_with_its_place),
        cmocka_unit_test_setup_teardown(routes_are_taken_together_or_each, setup, teardown),
        cmocka_unit_test_setup_teardown(what_did_not_come_is_not_measured, setup, teardown),
        cmocka_unit_test_setup_teardown(metrics_by_their_name, setup, teardown),
        cmocka_unit_test_setup_teardown(the_worst_look_at_a_gauge_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(cpu_is_that_of_the_workers_that_live, setup, teardown),
        cmocka_unit_test_setup_teardown(what_there_is_not_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
