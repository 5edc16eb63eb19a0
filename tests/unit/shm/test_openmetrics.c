#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "shm/openmetrics.h"
#include "tests/unit/shm/stats_viewed.h"

typedef void write_text(struct buf *out, const struct snapshot *s);

static struct buf text;

/* What is told of the file now; valid until the next. */
static const char *told(write_text *write)
{
    struct snapshot *s = snapshot_take(view, 1000);
    text.len = 0;
    write(&text, s);
    buf_addc(&text, '\0');
    snapshot_destroy(&s);
    return text.at;
}

static int teardown(void **state)
{
    buf_deinit(&text);
    return remove_viewed(state);
}

static bool has_line(const char *line)
{
    const char *at = strstr(text.at, line);
    while (at != NULL && !((at == text.at || at[-1] == '\n') && at[strlen(line)] == '\n'))
        at = strstr(at + 1, line);
    return at != NULL;
}

static void assert_line(const char *line)
{
    if (!has_line(line))
        fail_msg("no line: %s", line);
}

static void figures_are_in_base_units(void **state)
{
    struct stats *stats = *state;
    stats_add(stats, 0, STAT_requests, 10);
    stats_set(stats, 1, STAT_cpu_us, 1500000);
    stats_set(stats, 0, STAT_memory_some_percent, 25);
    stats_add(stats, 1, STAT_sent_bytes, 77);
    (void)told(openmetrics_write);
    assert_line("# TYPE perfd_requests counter");
    assert_line("# HELP perfd_requests answered (requests)");
    assert_line("perfd_requests_total{slot=\"0\"} 10");
    assert_line("# UNIT perfd_cpu_seconds seconds");
    assert_line("# TYPE perfd_cpu_seconds gauge");
    assert_line("perfd_cpu_seconds{slot=\"1\"} 1.5");
    assert_line("# UNIT perfd_memory_some_ratio ratio");
    assert_line("perfd_memory_some_ratio 0.25");
    assert_line("# UNIT perfd_sent_bytes bytes");
    assert_line("perfd_sent_bytes_total{slot=\"1\"} 77");
    assert_line("# TYPE perfd info");
    assert_line("perfd_info{version=\"" PERFD_VERSION "\"} 1");
}

/* The largest of all is nobody's; a worker's number or state is no figure of all. */
static void what_adds_up_stands_by_slot(void **state)
{
    struct stats *stats = *state;
    stats_set(stats, 0, STAT_cache_entries, 3);
    stats_set(stats, 1, STAT_cache_entries, 5);
    stats_set(stats, 0, STAT_pid, 4711);
    stats_add(stats, STATS_KEEPER, STAT_notifications, 6);
    (void)told(openmetrics_write);
    assert_line("perfd_cache_entries 5");
    assert_null(strstr(text.at, "perfd_cache_entries{"));
    assert_line("perfd_notifications_total{slot=\"keeper\"} 6");
    assert_null(strstr(text.at, "perfd_requests_total{slot=\"keeper\"}"));
    assert_line("perfd_requests_total{slot=\"1\"} 0");
    assert_null(strstr(text.at, "perfd_pid"));
    assert_null(strstr(text.at, "perfd_state"));
    assert_null(strstr(text.at, "4711"));
}

static void routes_go_by_their_names(void **state)
{
    struct stats *stats = *state;
    int row = stats_route_row(stats, "GET /a\"b\\"), idle = stats_route_row(stats, "GET /idle");
    stats_route_add(stats, 0, row, ROUTE_STAT_requests, 1);
    stats_route_add(stats, 1, row, ROUTE_STAT_requests, 2);
    stats_route_observe(stats, 1, row, ROUTE_HIST_hit, 70);
    stats_route_add(stats, 1, idle, ROUTE_STAT_evicted, 1);
    (void)told(openmetrics_write);
    assert_line("perfd_route_requests_total{route=\"GET /a\\\"b\\\\\"} 3");
    assert_line("perfd_route_requests_total{route=\"GET /idle\"} 0");
    assert_line("perfd_route_time_hit_seconds_count{route=\"GET /a\\\"b\\\\\"} 1");
    assert_line("perfd_route_time_hit_seconds_bucket{route=\"GET /a\\\"b\\\\\",le=\"6.4e-05\"} 0");
    assert_line("perfd_route_time_hit_seconds_bucket{route=\"GET /a\\\"b\\\\\",le=\"0.000128\"} 1");
    assert_null(strstr(text.at, "seconds_count{route=\"GET /idle\"}"));
}

/* Those of one power of two are counted by the next; what takes longer than the last is in +Inf alone. */
static void a_histogram_counts_all(void **state)
{
    struct stats *stats = *state;
    const int64_t us[] = {0, 1, 3, 5, 64, 127, 128, 40 * US_PER_S, 100 * US_PER_S};
    for (size_t i = 0; i < ARRAY_LEN(us); i++)
        stats_observe(stats, (int)(i % 2), HIST_database, us[i]);
    (void)told(openmetrics_write);
    assert_line("# TYPE perfd_time_database_seconds histogram");
    assert_line("perfd_time_database_seconds_bucket{le=\"1e-06\"} 2");
    assert_line("perfd_time_database_seconds_bucket{le=\"2e-06\"} 2");
    assert_line("perfd_time_database_seconds_bucket{le=\"4e-06\"} 3");
    assert_line("perfd_time_database_seconds_bucket{le=\"8e-06\"} 4");
    assert_line("perfd_time_database_seconds_bucket{le=\"6.4e-05\"} 5");
    assert_line("perfd_time_database_seconds_bucket{le=\"0.000128\"} 6");
    assert_line("perfd_time_database_seconds_bucket{le=\"0.000256\"} 7");
    assert_line("perfd_time_database_seconds_bucket{le=\"33.554432\"} 7");
    assert_line("perfd_time_database_seconds_bucket{le=\"+Inf\"} 9");
    assert_line("perfd_time_database_seconds_count 9");
}

/* By the upper edges of buckets, which small times have to themselves. */
static void a_sum_is_of_all_times(void **state)
{
    struct stats *stats = *state;
    stats_observe(stats, 0, HIST_database, 3);
    stats_observe(stats, 1, HIST_database, 5);
    (void)told(openmetrics_write);
    assert_line("perfd_time_database_seconds_sum 8e-06");
    assert_line("perfd_time_redis_seconds_sum 0");
}

/* Prometheus's own format has no units and no end, and calls a counter by the name of its sample. */
static void both_formats_tell_the_same(void **state)
{
    struct stats *stats = *state;
    stats_add(stats, 0, STAT_requests, 10);
    (void)told(openmetrics_write);
    assert_string_equal(text.at + strlen(text.at) - 7, "\n# EOF\n");
    (void)told(openmetrics_write_prometheus);
    assert_line("# TYPE perfd_requests_total counter");
    assert_line("# HELP perfd_requests_total answered (requests)");
    assert_line("# TYPE perfd_info gauge");
    assert_line("perfd_requests_total{slot=\"0\"} 10");
    assert_null(strstr(text.at, "# UNIT"));
    assert_null(strstr(text.at, "# EOF"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(figures_are_in_base_units, make_viewed, teardown),
        cmocka_unit_test_setup_teardown(what_adds_up_stands_by_slot, make_viewed, teardown),
        cmocka_unit_test_setup_teardown(routes_go_by_their_names, make_viewed, teardown),
        cmocka_unit_test_setup_teardown(a_histogram_counts_all, make_viewed, teardown),
        cmocka_unit_test_setup_teardown(a_sum_is_of_all_times, make_viewed, teardown),
        cmocka_unit_test_setup_teardown(both_formats_tell_the_same, make_viewed, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
