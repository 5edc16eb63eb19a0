#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "shm/history.h"
#include "shm/stats_layout.h"
#include "tests/unit/shm/stats_place.h"

/* Monotonic time is the wall clock's less this. */
#define BOOT_US INT64_C(1790000000000000)
/* The beginning of a minute. */
#define START_US (BOOT_US / (60 * US_PER_S) * (60 * US_PER_S) + 3600 * US_PER_S)

static struct history_point points[HISTORY_POINTS];

static void step(struct history_writer *w, int64_t second)
{
    int64_t wall_us = START_US + second * US_PER_S;
    history_step(w, wall_us - BOOT_US, wall_us);
}

static int read_points(enum history_scale scale)
{
    struct err err;
    struct stats_view *view = stats_view_open(path, &err);
    assert_non_null(view);
    int count = history_read(view, scale, points);
    stats_view_close(&view);
    return count;
}

static void answer(struct stats *stats, int slot, int64_t us, int count)
{
    stats_add(stats, slot, STAT_requests, count);
    for (int i = 0; i < count; i++)
        stats_observe(stats, slot, HIST_answer, us);
}

static void a_second_has_what_came_in_it(void **state)
{
    struct stats *stats = *state;
    struct history_writer *w = history_writer_create(stats, 0);
    answer(stats, 0, 10, 5);
    step(w, 0);
    assert_int_equal(read_points(HISTORY_SECONDS), 0); /* since when is not known */
    answer(stats, 0, 20, 30);
    answer(stats, 1, 40, 10);
    stats_add(stats, 1, STAT_permits_refused, 2);
    stats_add(stats, 0, STAT_cache_refused, 1);
    stats_set(stats, 0, STAT_pool_active, 3);
    stats_set(stats, 1, STAT_pool_active, 4);
    step(w, 1);
    stats_set(stats, 1, STAT_pool_active, 0);
    step(w, 2);
    assert_int_equal(read_points(HISTORY_SECONDS), 2);
    assert_int_equal(points[0].at_us, START_US + US_PER_S);
    assert_int_equal(points[0].span_us, US_PER_S);
    assert_int_equal(points[0].requests, 40);
    assert_int_equal(points[0].refused, 3);
    assert_int_equal(points[0].pool_active, 7);
    assert_int_equal(points[0].p50_us, 20);
    assert_int_equal(points[0].p95_us, 40);
    assert_int_equal(points[1].requests, 0);
    assert_int_equal(points[1].pool_active, 3);
    assert_int_equal(points[1].p50_us, -1);
    assert_int_equal(points[1].p99_us, -1);
    history_writer_destroy(&w);
}

static void a_minute_has_the_peaks_of_its_seconds(void **state)
{
    struct stats *stats = *state;
    struct history_writer *w = history_writer_create(stats, 0);
    static const int64_t peaks[] = {9, 7, 1}; /* within the first, at the end of the second, none in the third */
    for (int second = 0; second <= 180; second++) {
        stats_set(stats, 0, STAT_pool_waiting, second == 30 ? peaks[0] : second == 120 ? peaks[1] : 1);
        answer(stats, 1, second < 60 ? 30 : 50, 2);
        step(w, second);
    }
    assert_int_equal(read_points(HISTORY_MINUTES), 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(points[i].at_us, START_US + 60 * (i + 1) * US_PER_S);
        assert_int_equal(points[i].span_us, 60 * US_PER_S);
        assert_int_equal(points[i].requests, 120);
        assert_int_equal(points[i].pool_waiting, peaks[i]);
        assert_int_equal(points[i].p50_us, i == 0 ? 30 : 50);
    }
    history_writer_destroy(&w);
}

static void the_last_sixty_stay_the_earliest_first(void **state)
{
    struct stats *stats = *state;
    struct history_writer *w = history_writer_create(stats, 0);
    for (int second = 0; second <= 150; second++) {
        stats_add(stats, 0, STAT_requests, second);
        step(w, second);
    }
    assert_int_equal(read_points(HISTORY_SECONDS), HISTORY_POINTS);
    for (int i = 0; i < HISTORY_POINTS; i++)
        assert_int_equal(points[i].requests, 91 + i);
    history_writer_destroy(&w);
}

static void within_a_second_nothing_is_written(void **state)
{
    struct history_writer *w = history_writer_create(*state, 0);
    for (int i = 0; i <= 100; i++)
        history_step(w, START_US - BOOT_US + i * 20 * US_PER_MS, START_US + i * 20 * US_PER_MS);
    assert_int_equal(read_points(HISTORY_SECONDS), 2);
    assert_int_equal(read_points(HISTORY_MINUTES), 0);
    history_writer_destroy(&w);
}

static void another_writer_goes_on_where_one_ended(void **state)
{
    struct stats *stats = *state;
    struct history_writer *first = history_writer_create(stats, 0), *second;
    step(first, 0);
    stats_set(stats, 0, STAT_cpu_us, 4000);
    step(first, 1);
    history_writer_destroy(&first);
    answer(stats, 0, 30, 7);
    second = history_writer_create(stats, 5);
    stats_set(stats, 0, STAT_cpu_us, 5000);
    step(second, 4);
    assert_int_equal(read_points(HISTORY_SECONDS), 2);
    assert_int_equal(points[1].span_us, 3 * US_PER_S);
    assert_int_equal(points[1].requests, 7);
    assert_int_equal(points[1].p50_us, 30);
    assert_int_equal(points[0].cpu_us, 4000);
    assert_int_equal(points[1].cpu_us, 1000);
    history_writer_destroy(&second);
}

static void of_two_at_the_same_time_one_writes(void **state)
{
    struct stats *stats = *state;
    struct history_writer *one = history_writer_create(stats, 0), *other = history_writer_create(stats, 1);
    for (int second = 0; second < 5; second++) {
        answer(stats, 0, 30, 1);
        step(second % 2 ? one : other, second);
        step(second % 2 ? other : one, second);
    }
    assert_int_equal(read_points(HISTORY_SECONDS), 4);
    for (int i = 0; i < 4; i++)
        assert_true(points[i].requests == 1 && points[i].p50_us == 30);
    history_writer_destroy(&one);
    history_writer_destroy(&other);
}

static void the_cpu_of_a_worker_that_is_gone_is_not_taken_back(void **state)
{
    struct stats *stats = *state;
    /* the first one's, its successor's, none after a kill, the next one's */
    const int64_t cpu_us[] = {1000, 5000, 200, 500, 0, 50}, wanted[] = {4000, 0, 300, 0, 50};
    stats_set(stats, 0, STAT_cpu_us, 1000);
    struct history_writer *w = history_writer_create(stats, 0);
    for (int second = 0; second < (int)ARRAY_LEN(cpu_us); second++) {
        stats_set(stats, 0, STAT_cpu_us, cpu_us[second]);
        step(w, second);
    }
    assert_int_equal(read_points(HISTORY_SECONDS), ARRAY_LEN(wanted));
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        assert_int_equal(points[i].cpu_us, wanted[i]);
    step(w, 60);
    assert_int_equal(read_points(HISTORY_MINUTES), 1);
    assert_int_equal(points[0].cpu_us, 4000 + 300 + 50);
    history_writer_destroy(&w);
}

/* At a reload the one that ends writes once more what it has used. */
static void two_workers_of_a_slot_have_no_more_cpu_than_each(void **state)
{
    static const struct {
        int64_t pid, cpu_us, wanted_us;
    } looks[] = {{10, 5000000, 0}, {10, 5001000, 1000}, {11, 50, 0}, {10, 5002000, 0},
                 {11, 300, 0},     {11, 800, 500},      {0, 0, 0},   {12, 70, 70}};
    struct stats *stats = *state;
    struct history_writer *w = history_writer_create(stats, 0);
    for (int i = 0; i < (int)ARRAY_LEN(looks); i++) {
        stats_set(stats, 0, STAT_pid, looks[i].pid);
        stats_set(stats, 0, STAT_cpu_us, looks[i].cpu_us);
        step(w, i);
    }
    assert_int_equal(read_points(HISTORY_SECONDS), ARRAY_LEN(looks) - 1);
    for (size_t i = 1; i < ARRAY_LEN(looks); i++)
        assert_int_equal(points[i - 1].cpu_us, looks[i].wanted_us);
    history_writer_destroy(&w);
}

static void slots_that_come_later_are_counted(void **state)
{
    struct stats *master = *state;
    struct err err;
    struct stats *keepers = stats_attach(dup(stats_fd(master)), 2, &err);
    struct history_writer *w = history_writer_create(keepers, 0);
    step(w, 0);
    assert_true(stats_grow(master, 20, &err));
    answer(master, 19, 30, 8);
    step(w, 1);
    assert_int_equal(read_points(HISTORY_SECONDS), 1);
    assert_int_equal(points[0].requests, 8);
    assert_int_equal(points[0].p99_us, 30);
    history_writer_destroy(&w);
    stats_close(&keepers);
}

/* The file may be another program's by mistake. */
static void nonsense_in_it_can_be_added_up(void **state)
{
    struct stats *stats = *state;
    struct history_writer *w = history_writer_create(stats, 0);
    stats_set(stats, 0, STAT_requests, INT64_MIN);
    step(w, 0);
    stats_set(stats, 0, STAT_requests, INT64_MAX);
    step(w, 1);
    stats_set(stats, 0, STAT_requests, 7);
    step(w, 2);
    assert_int_equal(read_points(HISTORY_SECONDS), 2);
    assert_in_range(points[0].requests, 0, INT64_MAX / 4);
    assert_int_equal(points[1].requests, 0);
    history_writer_destroy(&w);
}

static void a_file_of_another_history_has_none(void **state)
{
    (void)state;
    struct header h;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &h, sizeof h, 0), sizeof h);
    h.sections[SECTION_seconds].record_bytes += 8;
    assert_int_equal(pwrite(fd, &h, sizeof h, 0), sizeof h);
    close(fd);
    assert_int_equal(read_points(HISTORY_SECONDS), -1);
    assert_int_equal(read_points(HISTORY_MINUTES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_second_has_what_came_in_it, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(a_minute_has_the_peaks_of_its_seconds, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(the_last_sixty_stay_the_earliest_first, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(within_a_second_nothing_is_written, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(another_writer_goes_on_where_one_ended, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(of_two_at_the_same_time_one_writes, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(the_cpu_of_a_worker_that_is_gone_is_not_taken_back, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(two_workers_of_a_slot_have_no_more_cpu_than_each, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(slots_that_come_later_are_counted, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(nonsense_in_it_can_be_added_up, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(a_file_of_another_history_has_none, make_stats, remove_stats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
