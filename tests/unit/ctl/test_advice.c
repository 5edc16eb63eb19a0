/* What advise makes of figures: they are put into a statistics file, and read as perfctl reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/clock.h"
#include "common/conf.h"
#include "master/ctl/advise/advice.h"
#include "shm/heavy.h"
#include "tests/unit/shm/stats_place.h"
#include "tests/unit/shm/views.h"

#define SPAN_US (10 * US_PER_S)

static struct stats *stats;
static struct advices *advices;

static int setup(void **state)
{
    int failed = make_stats(state);
    stats = *state;
    advices = advices_create();
    return failed;
}

static int teardown(void **state)
{
    advices_destroy(&advices);
    return remove_stats(state);
}

static struct snapshot *figures(void)
{
    struct snapshot *s = snapshot_of(path);
    s->span_us = SPAN_US;
    return s;
}

/* ---- indexes ---- */

static void add_index(const char *route, const char *columns)
{
    char todo[96];
    snprintf(todo, sizeof todo, "CREATE INDEX CONCURRENTLY ON app.posts (%s);", columns);
    advices_add(advices, ADVICE_INDEX, route, todo, "for %s", route);
}

static void an_index_is_there_once(void **state)
{
    (void)state;
    add_index("GET /a", "user_id");
    add_index("GET /b", "user_id, at DESC");
    add_index("GET /c", "user_id");
    add_index("GET /a", "user_id, at DESC");
    assert_int_equal(advices_count(advices), 1);
    assert_string_equal(advices_at(advices, 0)->todo, "CREATE INDEX CONCURRENTLY ON app.posts (user_id, at DESC);");
    assert_string_equal(advices_at(advices, 0)->found, "for GET /b");
    assert_string_equal(advices_at(advices, 0)->about, "GET /a, GET /b, GET /c");
}

static void other_columns_are_another_index(void **state)
{
    (void)state;
    add_index("GET /a", "user_id");
    add_index("GET /b", "user_id_2");
    add_index("GET /c", "at, user_id");
    advices_add(advices, ADVICE_N_PLUS_1, "GET /a", "ask at once", "one");
    advices_add(advices, ADVICE_N_PLUS_1, "GET /b", "ask at once", "two");
    assert_int_equal(advices_count(advices), 5);
}

/* ---- N+1 ---- */

static void ask(const char *consumer, int row, uint64_t times)
{
    heavy_add(stats_slot_section(stats, 0, SLOT_SECTION_consumers), 0, row, slice_str(consumer), times);
}

static void ask_key(const char *key, int row, uint64_t times)
{
    heavy_add(stats_slot_section(stats, 0, SLOT_SECTION_keys), 0, row, slice_str(key), times);
}

static void advise_consumers(void)
{
    struct snapshot *s = figures();
    advise_n_plus_1(s, advices);
    snapshot_destroy(&s);
}

static void a_consumer_that_asks_row_by_row(void **state)
{
    (void)state;
    int row = stats_route_row(stats, "GET /posts/{id}"), other = stats_route_row(stats, "GET /users/{id}");
    stats_add(stats, 0, STAT_requests, 1000);
    ask("10.0.0.7", row, 800);
    ask("10.0.0.8", other, 150);
    ask_key("/posts/1", row, 16);
    advise_consumers();
    assert_int_equal(advices_count(advices), 1);
    assert_string_equal(advices_at(advices, 0)->about, "GET /posts/{id}");
    assert_non_null(strstr(advices_at(advices, 0)->found, "10.0.0.7"));
    assert_non_null(strstr(advices_at(advices, 0)->found, "80.0 %"));
}

static void consumers_that_do_not(void **state)
{
    (void)state;
    int row = stats_route_row(stats, "GET /posts/{id}");
    stats_add(stats, 0, STAT_requests, 1000);
    ask("10.0.0.7", row, 700);
    advise_consumers();
    stats_add(stats, 0, STAT_requests, -850); /* of few nothing is known */
    advise_consumers();
    assert_int_equal(advices_count(advices), 0);
}

static void one_key_that_is_polled(void **state)
{
    (void)state;
    int row = stats_route_row(stats, "GET /posts/{id}");
    stats_add(stats, 0, STAT_requests, 1000);
    ask("10.0.0.7", row, 900);
    ask_key("/posts/1", row, 880);
    advise_consumers();
    assert_int_equal(advices_count(advices), 0);
}

static void a_file_that_tells_of_no_consumers(void **state)
{
    (void)state;
    struct snapshot *s = figures();
    free(s->heavy[SLOT_SECTION_consumers]);
    s->heavy[SLOT_SECTION_consumers] = NULL;
    advise_n_plus_1(s, advices);
    assert_int_equal(advices_count(advices), 0);
    assert_int_equal(advices_unknown_count(advices), 1);
    snapshot_destroy(&s);
}

static void counts_that_cannot_be(void **state)
{
    (void)state;
    struct snapshot *s;
    ask("10.0.0.7", 1 << 20, UINT64_MAX);
    ask("10.0.0.8", 0, UINT64_MAX - 5);
    stats_add(stats, 0, STAT_requests, INT64_MAX);
    stats_add(stats, 1, STAT_requests, INT64_MAX);
    stats_set(stats, 0, STAT_pool_max, INT64_MAX);
    s = figures();
    advise_n_plus_1(s, advices);
    advise_pool(s, advices);
    snapshot_destroy(&s);
}

/* ---- the pool ---- */

static void run_queries(int count, int64_t run_us, int64_t wait_us)
{
    for (int i = 0; i < count; i++) {
        stats_observe(stats, i % 2, HIST_database, run_us);
        stats_observe(stats, i % 2, HIST_pool_wait, wait_us);
    }
}

static void advise_connections(void)
{
    struct snapshot *s = figures();
    advise_pool(s, advices);
    snapshot_destroy(&s);
}

static void have_connections(int64_t of_each)
{
    stats_set(stats, 0, STAT_pool_max, of_each);
    stats_set(stats, 1, STAT_pool_max, of_each);
}

static bool told(const char *text)
{
    return advices_count(advices) == 1 && strstr(advices_at(advices, 0)->todo, text) != NULL;
}

/* 1000 of 80 ms in 10 s keep 8 busy, and 20 ms of waiting are 2 more: 10 are 70 % of 14.3, or 7.2 of each worker. */
static void as_many_as_come_in_the_time_of_one(void **state)
{
    (void)state;
    have_connections(5);
    run_queries(1000, 80 * US_PER_MS, 20 * US_PER_MS);
    advise_connections();
    assert_true(told("pool max=8;"));
    assert_non_null(strstr(advices_at(advices, 0)->found, "8.1 queries run and 2.0 wait"));
}

static void a_long_line_says_not_how_many_are_enough(void **state)
{
    (void)state;
    have_connections(5);
    run_queries(1000, 80 * US_PER_MS, 30 * US_PER_S);
    advise_connections();
    assert_true(told("pool max=10;"));
}

static void who_gave_up_has_waited(void **state)
{
    (void)state;
    have_connections(5);
    run_queries(1000, 80 * US_PER_MS, 0);
    stats_add(stats, 0, STAT_pool_timeouts, 40);
    advise_connections();
    assert_int_equal(advices_count(advices), 0);
    stats_add(stats, 1, STAT_pool_timeouts, 40);
    advise_connections();
    assert_true(told("pool max=8;"));
}

static void connections_that_are_enough(void **state)
{
    (void)state;
    have_connections(8);
    run_queries(1000, 80 * US_PER_MS, 20 * US_PER_MS); /* 10 of 16 */
    advise_connections();
    assert_int_equal(advices_count(advices), 0);
}

static void nobody_waits(void **state)
{
    (void)state;
    have_connections(5);
    run_queries(1000, 100 * US_PER_MS, US_PER_MS / 2);
    advise_connections();
    assert_int_equal(advices_count(advices), 0);
}

/* The same figures as for the pool alone, on three times as many connections. */
static void replicas_have_their_share(void **state)
{
    (void)state;
    have_connections(5);
    stats_set(stats, 0, STAT_replica_max, 10);
    stats_set(stats, 1, STAT_replica_max, 10);
    run_queries(1000, 80 * US_PER_MS, 20 * US_PER_MS);
    advise_connections();
    assert_int_equal(advices_count(advices), 0);
    run_queries(2000, 80 * US_PER_MS, 20 * US_PER_MS);
    advise_connections();
    assert_true(told("pool max=8;") && told("replica_pool"));
}

static void a_dead_pool_tells_nothing(void **state)
{
    (void)state;
    run_queries(1000, 80 * US_PER_MS, 20 * US_PER_MS);
    advise_connections();
    assert_int_equal(advices_count(advices), 0);
}

/* ---- the cache ---- */

static struct conf_route route;
static struct conf conf;

static void look_up(int64_t hits, int64_t expired, int64_t idle)
{
    int row = stats_route_row(stats, "GET /a");
    stats_route_add(stats, 0, row, ROUTE_STAT_hits, hits);
    stats_route_add(stats, 1, row, ROUTE_STAT_misses, expired + idle);
    stats_route_add(stats, 1, row, ROUTE_STAT_expired, expired);
    stats_route_add(stats, 1, row, ROUTE_STAT_idle, idle);
}

static void advise_lifetimes(int64_t ttl_us, int64_t tti_us)
{
    struct snapshot *s = figures();
    route.name = "GET /a";
    route.cached = true;
    route.cache_ttl_us = ttl_us;
    route.cache_tti_us = tti_us;
    conf.routes = &route;
    conf.route_count = 1;
    advise_cache(s, &conf, advices);
    snapshot_destroy(&s);
}

static int setup_cache(void **state)
{
    memset(&route, 0, sizeof route);
    memset(&conf, 0, sizeof conf);
    return setup(state);
}

static void a_ttl_that_costs_hits(void **state)
{
    (void)state;
    look_up(600, 400, 0);
    advise_lifetimes(US_PER_S, 0);
    assert_true(told("cache ttl=10s;")); /* 12.7 times, at most 10 */
    assert_string_equal(advices_at(advices, 0)->about, "GET /a");
    assert_string_equal(
        advices_at(advices, 0)->found,
        "of 1,000 lookups 60.0 % hit; 40.0 % met an answer whose ttl was over, 0.0 % one whose tti was");
}

static void its_tti_grows_with_it(void **state)
{
    (void)state;
    look_up(700, 300, 0); /* 8.14 times, so 8.2 s */
    advise_lifetimes(US_PER_S, US_PER_S / 2);
    assert_true(told("cache ttl=8200ms tti=4100ms;"));
}

static void a_tti_that_costs_hits(void **state)
{
    (void)state;
    look_up(500, 0, 500); /* 4.3 times */
    advise_lifetimes(60 * US_PER_S, 10 * US_PER_S);
    assert_true(told("cache ttl=1m tti=44s;"));
}

static void what_is_well_kept(void **state)
{
    (void)state;
    look_up(800, 150, 150);
    advise_lifetimes(US_PER_S, US_PER_S / 2);
    assert_int_equal(advices_count(advices), 0);
}

static void few_lookups_tell_nothing(void **state)
{
    (void)state;
    look_up(50, 100, 0);
    advise_lifetimes(US_PER_S, 0);
    assert_int_equal(advices_count(advices), 0);
}

/* A longer tti keeps nothing where there is no room, nor beyond the ttl. */
static void a_tti_that_is_not_to_blame(void **state)
{
    (void)state;
    look_up(500, 0, 500);
    advise_lifetimes(10 * US_PER_S, 10 * US_PER_S);
    stats_route_add(stats, 0, stats_route_row(stats, "GET /a"), ROUTE_STAT_evicted, 600);
    advise_lifetimes(60 * US_PER_S, 10 * US_PER_S);
    assert_int_equal(advices_count(advices), 0);
}

static void nobody_hears_of_changes(void **state)
{
    (void)state;
    const char *tags[] = {"posts"};
    look_up(600, 400, 0);
    route.cache_tags.at = tags;
    route.cache_tags.count = 1;
    conf.database.set = true;
    advise_lifetimes(US_PER_S, 0);
    assert_int_equal(advices_count(advices), 0);
    stats_set(stats, 0, STAT_listener_up, 1);
    advise_lifetimes(US_PER_S, 0);
    assert_true(told("raises their tags"));
}

#define with_stats(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define with_cache(test) cmocka_unit_test_setup_teardown(test, setup_cache, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_stats(an_index_is_there_once),
        with_stats(other_columns_are_another_index),
        with_stats(a_consumer_that_asks_row_by_row),
        with_stats(consumers_that_do_not),
        with_stats(one_key_that_is_polled),
        with_stats(a_file_that_tells_of_no_consumers),
        with_stats(counts_that_cannot_be),
        with_stats(as_many_as_come_in_the_time_of_one),
        with_stats(a_long_line_says_not_how_many_are_enough),
        with_stats(who_gave_up_has_waited),
        with_stats(connections_that_are_enough),
        with_stats(nobody_waits),
        with_stats(replicas_have_their_share),
        with_stats(a_dead_pool_tells_nothing),
        with_cache(a_ttl_that_costs_hits),
        with_cache(its_tti_grows_with_it),
        with_cache(a_tti_that_costs_hits),
        with_cache(what_is_well_kept),
        with_cache(few_lookups_tell_nothing),
        with_cache(a_tti_that_is_not_to_blame),
        with_cache(nobody_hears_of_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
