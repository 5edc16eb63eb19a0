#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "shm/doing.h"
#include "tests/unit/shm/views.h"
#include "worker/pulse.h"

#define STAND_STILL_US (80 * US_PER_MS)

static char folder[64], path[96];
static struct shared shared;
static struct worker_start first = {.slot = 0};
static struct service service = {.start = &first, .shared = &shared, .slot = 0, .proc = 0};
static struct pulse *pulse;
static int route_row;
static struct {
    int64_t stuck_us;
    doing_word at;
} seen; /* by who looked while the loop stood still */

static int set_up(void **state)
{
    struct err err;
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/perfd-pulse.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/perfd.stats", folder);
    service.stats = shared.stats = stats_create(path, 1, 3, &err);
    shared.board = calloc(1, board_bytes());
    service.base = event_base_new();
    route_row = stats_route_row(service.stats, "GET /slow");
    doing_attach(shared.board, 0);
    pulse = pulse_create(&service);
    log_set_level(LOG_CRIT);
    seen.stuck_us = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pulse_destroy(&pulse);
    event_base_free(service.base);
    stats_close(&service.stats);
    free(shared.board);
    unlink(path);
    return rmdir(folder);
}

static void on_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    event_base_loopbreak(service.base);
}

static void turn_for(int64_t us)
{
    const struct timeval tv = {us / US_PER_S, us % US_PER_S};
    event_base_once(service.base, -1, EV_TIMEOUT, on_over, NULL, &tv);
    event_base_dispatch(service.base);
}

static void after(int64_t us, event_callback_fn call)
{
    const struct timeval tv = {0, us};
    event_base_once(service.base, -1, EV_TIMEOUT, call, NULL, &tv);
}

static void stand_still(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    doing_for(DOING_rows, route_row);
    usleep(STAND_STILL_US);
    seen.stuck_us = stats_get(service.stats, 0, STAT_loop_stuck_us);
    seen.at = (doing_word)stats_get(service.stats, 0, STAT_loop_stuck_at);
}

static void work_a_little(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    doing(DOING_gate);
}

static struct histogram lag(void)
{
    struct histogram h;
    struct snapshot *s = snapshot_of(path);
    h = *snapshot_slot_hist(s, 0, HIST_loop_lag);
    snapshot_destroy(&s);
    return h;
}

static void what_holds_the_loop_up_is_told_while_it_does(void **state)
{
    (void)state;
    after(0, work_a_little);
    after(15 * US_PER_MS, stand_still);
    turn_for(200 * US_PER_MS);
    assert_true(seen.stuck_us >= 10 * US_PER_MS);
    assert_string_equal(doing_words(seen.at), "writing rows");
    assert_int_equal(doing_route(seen.at), route_row);
    assert_true(stats_get(service.stats, 0, STAT_loop_blocked) >= 1);
    assert_int_equal(stats_get(service.stats, 0, STAT_loop_stuck_us), 0);
    struct histogram h = lag();
    assert_true(histogram_quantile_us(&h, 1) >= STAND_STILL_US - 20 * US_PER_MS);
}

static void a_loop_that_turns_is_not_late(void **state)
{
    (void)state;
    after(0, work_a_little);
    turn_for(300 * US_PER_MS);
    struct histogram h = lag();
    assert_true(histogram_count(&h) >= 5);
    assert_int_equal(stats_get(service.stats, 0, STAT_loop_blocked), 0);
    assert_true(histogram_quantile_us(&h, 0.5) < 5 * US_PER_MS);
}

static void it_rests_when_there_is_nothing_to_do(void **state)
{
    (void)state;
    after(0, work_a_little);
    turn_for(1000 * US_PER_MS);
    struct histogram before = lag();
    assert_true(histogram_count(&before) >= 10);
    assert_string_equal(doing_words(*doing_at), "nothing");
    doing_swap(doing_swap(DOING_beat)); /* does not wake it */
    turn_for(50 * US_PER_MS);
    struct histogram resting = lag();
    assert_int_equal(histogram_count(&resting), histogram_count(&before));
    after(0, work_a_little);
    turn_for(200 * US_PER_MS);
    struct histogram awake = lag();
    assert_true(histogram_count(&awake) > histogram_count(&before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_holds_the_loop_up_is_told_while_it_does, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_loop_that_turns_is_not_late, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_rests_when_there_is_nothing_to_do, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
