#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/stats_fixture.h"
#include "worker/park.h"
#include "worker/permit.h"

enum { OWNER = 1, ME = 0, PARKED_MAX = 10000 };

static struct shared shared;
static struct service service = {.shared = &shared, .proc = ME};
static struct park *park;
static int ended_count;
static enum park_end last_end;

static int set_up(void **state)
{
    struct err err;
    (void)state;
    if (!control_create(&shared.control, &err))
        return -1;
    shared.tags = shared.control.tags;
    shared.flights = shared.control.flights;
    for (int i = 0; i < BOARD_ROWS; i++)
        shared.wake_fd[i] = eventfd(0, EFD_NONBLOCK);
    service.stats = make_stats(1);
    service.base = event_base_new();
    park = park_create(&service);
    service.permit_desk = permit_desk_create(&service);
    ended_count = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    park_destroy(&park);
    stats_close(&service.stats);
    permit_desk_destroy(&service.permit_desk);
    event_base_free(service.base);
    for (int i = 0; i < BOARD_ROWS; i++)
        close(shared.wake_fd[i]);
    control_destroy(&shared.control);
    return 0;
}

static void on_ended(struct parked *parked, enum park_end end, int status)
{
    (void)parked, (void)status;
    last_end = end;
    ended_count++;
}

static struct flight_ticket join(int proc)
{
    return flight_join(shared.flights, (struct flight_key){7, 8}, proc, shared.tags, NULL, 0, true);
}

static struct parked waiting_until(int64_t deadline_us)
{
    return (struct parked){.ticket = join(ME), .deadline_us = deadline_us, .ended = on_ended};
}

static void run_until_ended(int count)
{
    int64_t until_us = clock_mono_us() + 5 * US_PER_S;
    while (ended_count < count && clock_mono_us() < until_us)
        event_base_loop(service.base, EVLOOP_ONCE);
    assert_int_equal(ended_count, count);
}

static void who_waits_is_told_once_when_the_flight_ends(void **state)
{
    (void)state;
    struct flight_ticket owner = join(OWNER);
    struct parked one = waiting_until(INT64_MAX), two = waiting_until(INT64_MAX);
    assert_true(park_add(park, &one) && park_add(park, &two));
    flight_finish(shared.flights, &owner, OWNER, FLIGHT_VALUE, 0, shared.wake_fd);
    run_until_ended(2);
    assert_int_equal(last_end, PARK_VALUE);
    assert_int_equal(park_count(park), 0);
    assert_int_equal(times_seen(service.stats, HIST_flight_wait), 2);
}

static void who_waits_too_long_is_told_so(void **state)
{
    (void)state;
    (void)join(OWNER);
    int64_t start_us = clock_mono_us();
    struct parked one = waiting_until(start_us + 150 * US_PER_MS), two = waiting_until(INT64_MAX);
    assert_true(park_add(park, &one) && park_add(park, &two));
    run_until_ended(1);
    assert_int_equal(last_end, PARK_LATE);
    assert_true(clock_mono_us() - start_us >= 150 * US_PER_MS);
    assert_int_equal(park_count(park), 1);
    struct histogram waits;
    stats_hist_sum(service.stats, HIST_flight_wait, &waits);
    assert_int_equal(histogram_count(&waits), 1);
    assert_true(histogram_quantile_us(&waits, 1) >= 149 * US_PER_MS);
}

static void one_who_leaves_does_not_take_the_others_wake_up_along(void **state)
{
    (void)state;
    struct flight_ticket owner = join(OWNER);
    struct parked late = waiting_until(0), patient = waiting_until(INT64_MAX);
    assert_true(park_add(park, &late) && park_add(park, &patient));
    run_until_ended(1);
    flight_finish(shared.flights, &owner, OWNER, FLIGHT_NONE, 0, shared.wake_fd);
    struct pollfd woken = {.fd = shared.wake_fd[ME], .events = POLLIN};
    assert_int_equal(poll(&woken, 1, 0), 1); /* and not by the look at deadlines, which comes anyhow */
    run_until_ended(2);
    assert_int_equal(last_end, PARK_NONE);
}

static void so_many_may_wait_and_no_more(void **state)
{
    (void)state;
    (void)join(OWNER);
    struct parked *all = xcalloc(PARKED_MAX + 1, sizeof *all);
    for (int i = 0; i <= PARKED_MAX; i++)
        all[i] = waiting_until(INT64_MAX);
    for (int i = 0; i < PARKED_MAX; i++)
        assert_true(park_add(park, &all[i]));
    assert_false(park_add(park, &all[PARKED_MAX]));
    assert_int_equal(park_count(park), PARKED_MAX);
    free(all); /* none of them is told: the loop does not run any more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_waits_is_told_once_when_the_flight_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_waits_too_long_is_told_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_who_leaves_does_not_take_the_others_wake_up_along, set_up, tear_down),
        cmocka_unit_test_setup_teardown(so_many_may_wait_and_no_more, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
