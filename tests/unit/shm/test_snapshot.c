#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/shm/stats_viewed.h"
#include "tests/unit/shm/views.h"

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
static void what_a_worker_that_is_gone_leaves_is_no_change(void **state)
{
    struct stats *stats = *state;
    struct err err = {""};
    stats_add(stats, 0, STAT_requests, 10);
    stats_set(stats, 0, STAT_connections, 8);
    struct snapshot *before = snapshot_take(view, 1000);
    stats_clear_gauges(stats, 0);
    struct snapshot *after = snapshot_take(view, 2000), *window = snapshot_between(before, after, &err);
    assert_int_equal(snapshot_sum(window, STAT_connections), 0);
    assert_int_equal(snapshot_sum(window, STAT_requests), 0);
    snapshot_destroy(&before);
    snapshot_destroy(&after);
    snapshot_destroy(&window);
}

static void assert_none_negative(const struct snapshot *window)
{
    for (int slot = STATS_KEEPER; slot < window->slots; slot++)
        for (int i = 0; i < window->lists[SCOPE_SLOT].count; i++)
            assert_true(snapshot_get_at(window, slot, i) >= 0);
    for (int row = 0; row < window->routes; row++)
        for (int i = 0; i < window->lists[SCOPE_ROUTE].count; i++)
            assert_true(snapshot_route_at(window, row, i) >= 0);
}

/* As a file says that is written over while it is read: every figure is less than it was. */
static void what_goes_back_has_come_not_at_all(void **state)
{
    struct stats *stats = *state;
    struct err err = {""};
    int row = stats_route_row(stats, "GET /a");
    stats_observe(stats, 0, HIST_database, 100);
    stats_route_add(stats, 0, row, ROUTE_STAT_requests, 1);
    stats_route_observe(stats, 0, row, ROUTE_HIST_hit, 100);
    struct snapshot *less = snapshot_take(view, 2000);
    stats_add(stats, 0, STAT_requests, 10);
    stats_observe(stats, 0, HIST_database, 100);
    stats_route_add(stats, 0, row, ROUTE_STAT_requests, 3);
    stats_route_observe(stats, 0, row, ROUTE_HIST_hit, 100);
    heavy_add(stats_slot_section(stats, 0, SLOT_SECTION_keys), 0, row, SLICE("/a"), 5);
    struct snapshot *more = snapshot_take(view, 1000), *window = snapshot_between(more, less, &err);
    struct histogram h;
    assert_non_null(window);
    assert_none_negative(window);
    assert_int_equal(snapshot_sum(window, STAT_requests), 0);
    assert_int_equal(snapshot_route(window, row, ROUTE_STAT_requests), 0);
    snapshot_hist(window, HIST_database, &h);
    assert_int_equal(histogram_count(&h), 0);
    assert_int_equal(histogram_count(snapshot_route_hist(window, row, ROUTE_HIST_hit)), 0);
    struct heavy_list *list = snapshot_heavy(window, SLOT_SECTION_keys);
    assert_int_equal(list->total, 0);
    free(list);
    snapshot_destroy(&less);
    snapshot_destroy(&more);
    snapshot_destroy(&window);
}

/* No sum of a doctored file is beyond what a figure can be. */
static void sums_do_not_overflow(void **state)
{
    struct stats *stats = *state;
    int row = stats_route_row(stats, "GET /a");
    for (int slot = 0; slot < 2; slot++) {
        stats_set(stats, slot, STAT_requests, INT64_MAX - 1);
        stats_set(stats, slot, STAT_connections, INT64_MIN);
        stats_route_set(stats, slot, row, ROUTE_STAT_requests, INT64_MAX - 1);
    }
    struct snapshot *s = snapshot_take(view, 1000);
    assert_int_equal(snapshot_sum(s, STAT_requests), INT64_MAX);
    assert_int_equal(snapshot_sum(s, STAT_connections), INT64_MIN);
    assert_int_equal(snapshot_route(s, row, ROUTE_STAT_requests), INT64_MAX);
    snapshot_destroy(&s);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_window_has_what_came_in_it, make_viewed, remove_viewed),
        cmocka_unit_test_setup_teardown(what_a_worker_that_is_gone_leaves_is_no_change, make_viewed, remove_viewed),
        cmocka_unit_test_setup_teardown(what_goes_back_has_come_not_at_all, make_viewed, remove_viewed),
        cmocka_unit_test_setup_teardown(sums_do_not_overflow, make_viewed, remove_viewed),
        cmocka_unit_test_setup_teardown(two_lives_have_no_window, make_viewed, remove_viewed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
