#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shm/stats.h"

static char folder[64], path[96];

static int setup(void **state)
{
    struct err err;
    snprintf(folder, sizeof folder, "/tmp/perfd-stats.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/perfd.stats", folder);
    *state = stats_create(path, 2, 3, &err);
    return *state == NULL;
}

static int teardown(void **state)
{
    struct stats *stats = *state;
    stats_close(&stats);
    unlink(path);
    return rmdir(folder);
}

static void what_is_written_is_read_by_another_mapping(void **state)
{
    struct stats *stats = *state;
    struct err err;
    struct histogram h;
    int row = stats_route_row(stats, "GET /a");
    stats_add(stats, 0, STAT_requests, 3);
    stats_add(stats, 1, STAT_requests, 4);
    stats_set(stats, 0, STAT_pid, 10);
    stats_set(stats, 1, STAT_pid, 30);
    stats_add(stats, STATS_KEEPER, STAT_notifications, 5);
    stats_set(stats, STATS_KEEPER, STAT_listener_up, 1);
    stats_route_add(stats, 1, row, ROUTE_STAT_hits, 2);
    stats_observe(stats, 0, HIST_redis, 50);
    stats_route_observe(stats, 0, row, ROUTE_HIST_error, 50);
    stats_route_observe(stats, 1, row, ROUTE_HIST_error, 50);
    struct stats *reader = stats_open(path, &err);
    assert_non_null(reader);
    assert_int_equal(stats_sum(reader, STAT_requests), 7);
    assert_int_equal(stats_sum(reader, STAT_pid), 30);
    assert_int_equal(stats_get(reader, 0, STAT_pid), 10);
    assert_int_equal(stats_get(reader, 0, STAT_notifications), 0);
    assert_int_equal(stats_sum(reader, STAT_notifications), 5);
    assert_int_equal(stats_sum(reader, STAT_listener_up), 1);
    assert_int_equal(stats_route_sum(reader, row, ROUTE_STAT_hits), 2);
    assert_int_equal(stats_route_sum(reader, row, ROUTE_STAT_requests), 0);
    stats_hist_sum(reader, HIST_redis, &h);
    assert_int_equal(histogram_count(&h), 1);
    stats_hist_sum(reader, HIST_database, &h);
    assert_int_equal(histogram_count(&h), 0);
    stats_route_hist_sum(reader, row, ROUTE_HIST_error, &h);
    assert_int_equal(histogram_count(&h), 2);
    stats_route_hist_sum(reader, row, ROUTE_HIST_hit, &h);
    assert_int_equal(histogram_count(&h), 0);
    assert_int_equal(stats_master_pid(reader), getpid());
    stats_clear_gauges(stats, 0);
    assert_int_equal(stats_get(reader, 0, STAT_pid), 0);
    assert_int_equal(stats_get(reader, 0, STAT_requests), 3);
    stats_close(&reader);
}

static void a_route_keeps_its_row_and_too_many_share_one(void **state)
{
    struct stats *stats = *state;
    assert_string_equal(stats_route_name(stats, 0), "(other)");
    assert_int_equal(stats_route_row(stats, "GET /a"), 1);
    assert_int_equal(stats_route_row(stats, "GET /b"), 2);
    assert_int_equal(stats_route_row(stats, "GET /a"), 1);
    assert_int_equal(stats_route_row(stats, "GET /c"), 3);
    assert_int_equal(stats_route_row(stats, "GET /d"), 0);
    assert_int_equal(stats_routes(stats), 4);
}

static void every_word_of_the_head_is_checked(void **state)
{
    (void)state;
    struct err err;
    int fd = open(path, O_RDWR), refused = 0;
    for (off_t at = 0; at < 1024; at++) {
        unsigned char byte, other;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        other = byte ^ 0xff;
        assert_int_equal(pwrite(fd, &other, 1, at), 1);
        struct stats *reader = stats_open(path, &err);
        refused += reader == NULL;
        if (reader != NULL)
            for (int row = 0; row < stats_routes(reader); row++)
                (void)stats_route_sum(reader, row, ROUTE_STAT_requests);
        stats_close(&reader);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    /* All but the start time, the pid, and what is a smaller count of routes. */
    assert_in_range(refused, 1024 - 8 - 4 - 4, 1024);
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_null(stats_open(path, &err));
    assert_non_null(strstr(err.text, path));
    close(fd);
}

static void a_full_disk_is_an_error_and_leaves_the_old_file(void **state)
{
    (void)state;
    struct err err;
    struct rlimit before, small = {4096, 4096};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct stats *second = stats_create(path, 2, 3, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_null(second);
    assert_non_null(strstr(err.text, path));
    struct stats *reader = stats_open(path, &err);
    assert_non_null(reader);
    stats_close(&reader);
}

static void a_staged_file_is_found_once_it_is_shown(void **state)
{
    struct stats *old = *state;
    struct err err;
    char staged[100];
    snprintf(staged, sizeof staged, "%s.new", path);
    stats_add(old, 0, STAT_requests, 3);
    struct stats *given_up = stats_stage(path, 2, 3, &err), *next;
    stats_close(&given_up);
    assert_int_equal(access(staged, F_OK), -1);
    next = stats_stage(path, 4, 3, &err);
    struct stats *reader = stats_open(path, &err);
    assert_int_equal(stats_sum(reader, STAT_requests), 3);
    stats_close(&reader);
    assert_true(stats_show(next, &err) && stats_show(next, &err));
    reader = stats_open(path, &err);
    assert_int_equal(stats_slots(reader), 4);
    stats_close(&reader);
    stats_close(&next);
}

static void whoever_gets_the_descriptor_goes_on_counting(void **state)
{
    struct stats *old = *state;
    struct err err = {""};
    stats_add(old, 1, STAT_requests, 3);
    struct stats *next = stats_attach(dup(stats_fd(old)), 2, &err);
    assert_non_null(next);
    stats_add(next, 1, STAT_requests, 4);
    stats_own(next);
    assert_int_equal(stats_sum(old, STAT_requests), 7);
    assert_int_equal(stats_master_pid(old), getpid());
    stats_close(&next);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_null(stats_attach(null, 2, &err));
    close(null);
}

static void it_grows_and_forgets_nothing(void **state)
{
    struct stats *stats = *state;
    struct err err = {""};
    struct stats *before = stats_open(path, &err);
    stats_add(stats, 1, STAT_requests, 3);
    assert_true(stats_grow(stats, 1, &err));
    assert_int_equal(stats_slots(stats), 2);
    assert_true(stats_grow(stats, 40, &err));
    assert_int_equal(stats_slots(stats), 40);
    stats_add(stats, 39, STAT_requests, 4);
    stats_add(stats, 0, STAT_requests, 1);
    struct stats *after = stats_open(path, &err);
    assert_int_equal(stats_slots(after), 40);
    assert_int_equal(stats_sum(after, STAT_requests), 8);
    assert_int_equal(stats_slots(before), 2);
    assert_int_equal(stats_sum(before, STAT_requests), 4);
    struct stats *next = stats_attach(dup(stats_fd(stats)), 50, &err);
    assert_int_equal(stats_slots(next), 50);
    assert_int_equal(stats_sum(next, STAT_requests), 8);
    stats_close(&next);
    stats_close(&before);
    stats_close(&after);
}

static void a_disk_without_room_to_grow_changes_nothing(void **state)
{
    struct stats *stats = *state;
    struct err err = {""};
    struct rlimit before, less;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    less = before;
    less.rlim_cur = 64 * 1024;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
    assert_false(stats_grow(stats, 100, &err));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_non_null(strstr(err.text, "100 workers"));
    assert_int_equal(stats_slots(stats), 2);
    stats_add(stats, 1, STAT_requests, 1);
    assert_int_equal(stats_sum(stats, STAT_requests), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read_by_another_mapping, setup, teardown),
        cmocka_unit_test_setup_teardown(a_route_keeps_its_row_and_too_many_share_one, setup, teardown),
        cmocka_unit_test_setup_teardown(every_word_of_the_head_is_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(a_staged_file_is_found_once_it_is_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(it_grows_and_forgets_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_disk_without_room_to_grow_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(whoever_gets_the_descriptor_goes_on_counting, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_an_error_and_leaves_the_old_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
