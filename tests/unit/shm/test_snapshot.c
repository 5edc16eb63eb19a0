#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/openmetrics.h"
#include "tests/unit/shm/stats_place.h"
#include "tests/unit/shm/views.h"

static struct stats_view *view;

static int setup(void **state)
{
    struct err err;
    if (make_stats(state) != 0)
        return 1;
    view = stats_view_open(path, &err);
    return view == NULL;
}

static int teardown(void **state)
{
    stats_view_close(&view);
    return remove_stats(state);
}

static void a_window_has_what_came_in_it(void **state)
{
    struct stats *stats = *state;
    struct err err = {""};
    struct histogram h;
    int row = stats_route_row(stats, "GET /a"), later_row;
    stats_add(stats, 0, STAT_requests, 10);
    stats_set(stats, 0, STAT_in_flight, 7);
    stats_observe(stats, 1, HIST_database, 100);
    stats_route_observe(stats, 1, row, ROUTE_HIST_hit, 100); /* of a route that nobody asked for: cannot be */
    stats_route_add(stats, 1, row, ROUTE_STAT_requests, 1);
    struct snapshot *before = snapshot_take(view, 1000);
    stats_add(stats, 1, STAT_requests, 5);
    stats_set(stats, 0, STAT_in_flight, 2);
    stats_observe(stats, 1, HIST_database, 200);
    stats_route_observe(stats, 0, row, ROUTE_HIST_hit, 300);
    stats_route_add(stats, 0, row, ROUTE_STAT_requests, 1);
    later_row = stats_route_row(stats, "GET /later");
    stats_route_add(stats, 0, later_row, ROUTE_STAT_requests, 4);
    assert_true(stats_grow(stats, 5, &err));
    stats_add(stats, 4, STAT_requests, 1);
    struct snapshot *after = snapshot_take(view, 3000), *window = snapshot_between(before, after, &err);
    assert_non_null(window);
    assert_int_equal(window->span_us, 2000);
    assert_int_equal(snapshot_sum(window, STAT_requests), 6);
    assert_int_equal(snapshot_sum(window, STAT_in_flight), 2);
    snapshot_hist(window, HIST_database, &h);
    assert_int_equal(histogram_count(&h), 1);
    assert_int_equal(histogram_quantile_us(&h, 1), histogram_upper_us(histogram_bucket(200)));
    assert_int_equal(histogram_count(snapshot_route_hist(window, row, ROUTE_HIST_hit)), 1);
    assert_int_equal(snapshot_route(window, later_row, ROUTE_STAT_requests), 4);
    assert_null(snapshot_between(after, before, &err));
    snapshot_destroy(&before);
    snapshot_destroy(&after);
    snapshot_destroy(&window);
}

/* A worker that is gone takes its gauges with it, not its counters. */
static void no_figure_of_a_window_is_negative(void **state)
{
    struct stats *stats = *state;
    struct err err = {""};
    stats_add(stats, 0, STAT_requests, 10);
    stats_set(stats, 0, STAT_connections, 8);
    struct snapshot *before = snapshot_take(view, 1000);
    stats_clear_gauges(stats, 0);
    struct snapshot *after = snapshot_take(view, 2000), *window = snapshot_between(before, after, &err);
    for (int slot = STATS_KEEPER; slot < window->slots; slot++)
        for (int i = 0; i < window->lists[SCOPE_SLOT].count; i++)
            assert_true(snapshot_get_at(window, slot, i) >= 0);
    assert_int_equal(snapshot_sum(window, STAT_connections), 0);
    snapshot_destroy(&before);
    snapshot_destroy(&after);
    snapshot_destroy(&window);
}

static void two_lives_have_no_window(void **state)
{
    struct stats *old = *state, *next;
    struct err err = {""};
    stats_add(old, 0, STAT_requests, 10);
    struct snapshot *before = snapshot_take(view, 1000);
    assert_true(stats_view_is_current(view));
    usleep(2);
    next = stats_create(path, 2, 3, &err);
    assert_false(stats_view_is_current(view));
    struct snapshot *after = snapshot_of(path);
    after->at_us = 2000;
    assert_null(snapshot_between(before, after, &err));
    assert_non_null(strstr(err.text, "two lives"));
    snapshot_destroy(&before);
    snapshot_destroy(&after);
    stats_close(&next);
}

static void openmetrics_are_in_base_units(void **state)
{
    struct stats *stats = *state;
    struct buf text = {0};
    int row = stats_route_row(stats, "GET /a\"b\\");
    stats_add(stats, 0, STAT_requests, 10);
    stats_set(stats, 1, STAT_cpu_us, 1500000);
    stats_observe(stats, 1, HIST_database, 3);
    stats_observe(stats, 1, HIST_database, 5);
    stats_route_add(stats, 1, row, ROUTE_STAT_requests, 1);
    struct snapshot *s = snapshot_take(view, 1000);
    openmetrics_write(&text, s);
    buf_addc(&text, '\0');
    assert_non_null(strstr(text.at, "\nperfd_requests_total{slot=\"0\"} 10\n"));
    assert_non_null(strstr(text.at, "\nperfd_cpu_seconds{slot=\"1\"} 1.5\n"));
    assert_non_null(strstr(text.at, "\nperfd_time_database_seconds_bucket{le=\"2e-06\"} 0\n"));
    assert_non_null(strstr(text.at, "\nperfd_time_database_seconds_bucket{le=\"4e-06\"} 1\n"));
    assert_non_null(strstr(text.at, "\nperfd_time_database_seconds_bucket{le=\"8e-06\"} 2\n"));
    assert_non_null(strstr(text.at, "\nperfd_time_database_seconds_count 2\n"));
    assert_non_null(strstr(text.at, "\nperfd_time_database_seconds_sum 8e-06\n"));
    assert_non_null(strstr(text.at, "perfd_route_requests_total{route=\"GET /a\\\"b\\\\\"} 1\n"));
    assert_string_equal(text.at + text.len - 7, "# EOF\n");
    snapshot_destroy(&s);
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_window_has_what_came_in_it, setup, teardown),
        cmocka_unit_test_setup_teardown(no_figure_of_a_window_is_negative, setup, teardown),
        cmocka_unit_test_setup_teardown(two_lives_have_no_window, setup, teardown),
        cmocka_unit_test_setup_teardown(openmetrics_are_in_base_units, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
