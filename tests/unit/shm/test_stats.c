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

#include "shm/stats_layout.h"
#include "tests/unit/shm/stats_place.h"
#include "tests/unit/shm/views.h"

static void what_is_written_is_read_by_another_mapping(void **state)
{
    struct stats *stats = *state;
    struct histogram h;
    int row = stats_route_row(stats, "GET /a");
    stats_add(stats, 0, STAT_requests, 3);
    stats_add(stats, 1, STAT_requests, 4);
    stats_set(stats, 0, STAT_pid, 10);
    stats_set(stats, 1, STAT_pid, 30);
    stats_add(stats, STATS_KEEPER, STAT_notifications, 5);
    stats_set(stats, STATS_KEEPER, STAT_listener_up, 1);
    stats_route_add(stats, 1, row, ROUTE_STAT_hits, 2);
    stats_route_set(stats, STATS_KEEPER, row, ROUTE_STAT_objective_us, 7);
    stats_route_set(stats, 1, row, ROUTE_STAT_objective_us, 5);
    stats_observe(stats, 0, HIST_redis, 50);
    stats_route_add(stats, 0, row, ROUTE_STAT_errors_4xx, 1);
    stats_route_observe(stats, 0, row, ROUTE_HIST_error, 50);
    stats_route_observe(stats, 1, row, ROUTE_HIST_error, 50);
    struct snapshot *s = snapshot_of(path);
    assert_int_equal(snapshot_sum(s, STAT_requests), 7);
    assert_int_equal(snapshot_sum(s, STAT_pid), 30);
    assert_int_equal(snapshot_get(s, 0, STAT_pid), 10);
    assert_int_equal(snapshot_get(s, 0, STAT_notifications), 0);
    assert_int_equal(snapshot_sum(s, STAT_notifications), 5);
    assert_int_equal(snapshot_sum(s, STAT_listener_up), 1);
    assert_int_equal(snapshot_route(s, row, ROUTE_STAT_hits), 2);
    assert_int_equal(snapshot_route(s, row, ROUTE_STAT_requests), 0);
    assert_int_equal(snapshot_route(s, row, ROUTE_STAT_objective_us), 7);
    snapshot_hist(s, HIST_redis, &h);
    assert_int_equal(histogram_count(&h), 1);
    snapshot_hist(s, HIST_database, &h);
    assert_int_equal(histogram_count(&h), 0);
    assert_int_equal(histogram_count(snapshot_route_hist(s, row, ROUTE_HIST_error)), 2);
    assert_int_equal(histogram_count(snapshot_route_hist(s, row, ROUTE_HIST_hit)), 0);
    assert_int_equal(s->master_pid, getpid());
    snapshot_destroy(&s);
    stats_clear_gauges(stats, 0);
    assert_int_equal(stats_get(stats, 0, STAT_pid), 0);
    assert_int_equal(stats_get(stats, 0, STAT_requests), 3);
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

static void no_byte_of_the_head_makes_a_reader_crash(void **state)
{
    (void)state;
    struct err err;
    int fd = open(path, O_RDWR), refused = 0;
    const off_t head = sizeof(struct header), end = head + (off_t)(METRICS_TOTAL * sizeof(struct description));
    /* All of the header; of descriptions one in seven, so that each place in them comes in one or another. */
    for (off_t at = 0; at < end; at += at < head ? 1 : 7) {
        unsigned char byte, other;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        other = byte ^ 0xff;
        assert_int_equal(pwrite(fd, &other, 1, at), 1);
        struct stats_view *view = stats_view_open(path, &err);
        refused += view == NULL;
        if (view != NULL) {
            struct snapshot *s = snapshot_take(view, 1);
            snapshot_destroy(&s);
            (void)stats_view_section(view, SECTION_events);
        }
        stats_view_close(&view);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    assert_in_range(refused, 100, end);
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_null(stats_view_open(path, &err));
    assert_non_null(strstr(err.text, path));
    close(fd);
}

static void is_refused_with(int fd, const struct header *h, const char *why)
{
    struct err err = {""};
    assert_int_equal(pwrite(fd, h, sizeof *h, 0), sizeof *h);
    assert_null(stats_view_open(path, &err));
    assert_non_null(strstr(err.text, why));
}

/* A file may be longer than its slots, and a reader does not map the rest. */
static void what_lies_behind_the_slots_is_no_part_of_a_file(void **state)
{
    (void)state;
    struct header good, bad;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t end = lseek(fd, 0, SEEK_END);
    assert_int_equal(ftruncate(fd, end + (8 << 20)), 0);
    assert_int_equal(pread(fd, &good, sizeof good, 0), sizeof good);
    bad = good;
    bad.sections[SECTION_events].at = (uint64_t)end + 4096;
    is_refused_with(fd, &bad, "outside");
    bad = good;
    bad.descriptions_at = (uint64_t)end + 4096;
    is_refused_with(fd, &bad, "outside");
    bad = good;
    bad.names_at = (uint64_t)end;
    is_refused_with(fd, &bad, "outside");
    assert_int_equal(pwrite(fd, &good, sizeof good, 0), sizeof good);
    struct snapshot *s = snapshot_of(path);
    snapshot_destroy(&s);
    close(fd);
}

/* It goes into documents that nobody could read otherwise. */
static void a_long_name_ends_with_a_whole_character(void **state)
{
    struct stats *stats = *state;
    char name[2 * STATS_ROUTE_NAME_MAX];
    memset(name, 'x', sizeof name);
    memcpy(name + STATS_ROUTE_NAME_MAX - 2, "\xe2\x82\xac.", 5);
    int row = stats_route_row(stats, name);
    assert_int_equal(strlen(stats_route_name(stats, row)), STATS_ROUTE_NAME_MAX - 2);
    assert_int_equal(stats_route_row(stats, name), row);
    name[STATS_ROUTE_NAME_MAX - 1] = '\0'; /* as long as may be */
    name[STATS_ROUTE_NAME_MAX - 2] = 'y';
    assert_int_equal(stats_route_row(stats, name), row + 1);
    assert_string_equal(stats_route_name(stats, row + 1), name);
}

/* As another perfd's would be: one metric goes by a name that this one does not know, two have changed their places. */
static void a_file_is_read_by_what_it_says_of_itself(void **state)
{
    struct stats *stats = *state;
    struct description other[3];
    int fd = open(path, O_RDWR);
    off_t at = (off_t)sizeof(struct header);
    stats_add(stats, 0, STAT_requests, 3);
    stats_add(stats, 0, STAT_responses_4xx, 4);
    stats_add(stats, 0, STAT_responses_5xx, 5);
    assert_int_equal(pread(fd, other, sizeof other, at), sizeof other);
    struct description swapped[3] = {other[1], other[0], other[2]};
    snprintf(swapped[2].name, sizeof swapped[2].name, "of_the_future");
    assert_int_equal(pwrite(fd, swapped, sizeof swapped, at), sizeof swapped);
    struct snapshot *s = snapshot_of(path);
    assert_int_equal(snapshot_sum(s, STAT_requests), 4);
    assert_int_equal(snapshot_sum(s, STAT_responses_4xx), 3);
    assert_false(snapshot_has(s, STAT_responses_5xx));
    assert_int_equal(snapshot_sum(s, STAT_responses_5xx), 0);
    assert_string_equal(s->lists[SCOPE_SLOT].infos[2].name, "of_the_future");
    assert_int_equal(snapshot_sum_at(s, 2), 5);
    snapshot_destroy(&s);
    struct err err;
    snprintf(swapped[2].name, sizeof swapped[2].name, "of_the\033[7mfuture");
    assert_int_equal(pwrite(fd, swapped, sizeof swapped, at), sizeof swapped);
    assert_null(stats_view_open(path, &err));
    assert_non_null(strstr(err.text, "not described"));
    int again = open(path, O_RDWR | O_CLOEXEC);
    assert_null(stats_attach(again, 2, &err)); /* who writes takes only what is its own */
    close(again);
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
    struct snapshot *s = snapshot_of(path);
    snapshot_destroy(&s);
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
    assert_int_equal(sum_in(path, STAT_requests), 3);
    assert_true(stats_show(next, &err) && stats_show(next, &err));
    struct snapshot *s = snapshot_of(path);
    assert_int_equal(s->slots, 4);
    snapshot_destroy(&s);
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
    assert_int_equal(stats_get(old, 1, STAT_requests), 7);
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
    struct stats_view *view = stats_view_open(path, &err);
    stats_add(stats, 1, STAT_requests, 3);
    assert_true(stats_grow(stats, 1, &err));
    assert_int_equal(stats_slots(stats), 2);
    assert_int_equal(stats_view_slots(view), 2);
    assert_true(stats_grow(stats, 40, &err));
    assert_int_equal(stats_slots(stats), 40);
    stats_add(stats, 39, STAT_requests, 4);
    stats_add(stats, 0, STAT_requests, 1);
    assert_int_equal(sum_in(path, STAT_requests), 8);
    struct snapshot *s = snapshot_take(view, 1); /* of who had opened it before */
    assert_int_equal(s->slots, 40);
    assert_int_equal(snapshot_sum(s, STAT_requests), 8);
    snapshot_destroy(&s);
    stats_view_close(&view);
    struct stats *next = stats_attach(dup(stats_fd(stats)), 50, &err);
    assert_int_equal(stats_slots(next), 50);
    assert_int_equal(stats_get(next, 39, STAT_requests), 4);
    stats_close(&next);
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
    assert_int_equal(sum_in(path, STAT_requests), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read_by_another_mapping, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(a_route_keeps_its_row_and_too_many_share_one, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(no_byte_of_the_head_makes_a_reader_crash, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(what_lies_behind_the_slots_is_no_part_of_a_file, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(a_long_name_ends_with_a_whole_character, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(a_file_is_read_by_what_it_says_of_itself, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(a_staged_file_is_found_once_it_is_shown, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(it_grows_and_forgets_nothing, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(a_disk_without_room_to_grow_changes_nothing, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(whoever_gets_the_descriptor_goes_on_counting, make_stats, remove_stats),
        cmocka_unit_test_setup_teardown(a_full_disk_is_an_error_and_leaves_the_old_file, make_stats, remove_stats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
