#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/stats_fixture.h"
#include "worker/permit.h"
#include "worker/request.h"
#include "worker/route.h"

enum { ME = 0, ANOTHER = 1, ROUTES = 2, REQUESTS = 6, QUEUE = 4 };

static struct shared shared;
static struct conf conf;
static struct conf_route route_confs[ROUTES];
static struct service service = {.shared = &shared, .conf = &conf, .proc = ME};
static struct query query = {.statement_count = 1};
static struct route routes[ROUTES];
static struct request requests[REQUESTS];
static struct permit_waiter waiters[REQUESTS];
static char told[64]; /* in order: a letter a request, large when it has its permit */

static void limit(int first, int second, int all)
{
    const int rows[] = {routes[0].permit_row, routes[1].permit_row, PERMIT_ALL}, maxes[] = {first, second, all};
    permits_limit(shared.permits, rows, maxes, 3);
    conf.max_concurrent = all;
}

static void on_turn(void *arg, bool have)
{
    char letter[] = {(char)((have ? 'A' : 'a') + *(const int *)arg), '\0'};
    strcat(told, letter);
}

static int set_up(void **state)
{
    static int numbers[REQUESTS];
    struct err err;
    (void)state;
    if (!control_create(&shared.control, &err))
        return -1;
    shared.permits = shared.control.permits;
    for (int i = 0; i < BOARD_ROWS; i++)
        shared.wake_fd[i] = eventfd(0, EFD_NONBLOCK);
    service.stats = make_stats(1);
    service.base = event_base_new();
    service.permit_desk = permit_desk_create(&service);
    conf = (struct conf){.permit_wait_us = 3600 * US_PER_S, .permit_queue = QUEUE};
    for (int i = 0; i < ROUTES; i++) {
        route_confs[i].timeout_us = US_PER_S;
        routes[i] = (struct route){.conf = &route_confs[i], .query = &query};
        routes[i].permit_row = permits_row(shared.permits, i == 0 ? "first" : "second");
    }
    for (int i = 0; i < REQUESTS; i++) {
        numbers[i] = i;
        requests[i] = (struct request){.service = &service, .route = &routes[0], .deadline_us = INT64_MAX};
        waiters[i] = (struct permit_waiter){.r = &requests[i], .turn = on_turn, .arg = &numbers[i]};
    }
    told[0] = '\0';
    limit(1, 1, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < REQUESTS; i++)
        permit_put(&requests[i]);
    permit_desk_destroy(&service.permit_desk);
    stats_close(&service.stats);
    event_base_free(service.base);
    for (int i = 0; i < BOARD_ROWS; i++)
        close(shared.wake_fd[i]);
    control_destroy(&shared.control);
    return 0;
}

/* As many turns of the loop as anything here may need. */
static void turn(void)
{
    for (int i = 0; i < 4; i++)
        event_base_loop(service.base, EVLOOP_NONBLOCK);
}

static bool ready(int i)
{
    return permit_ready(&requests[i]);
}

static bool waits(int i)
{
    return permit_wait(&waiters[i]);
}

static void who_came_first_is_served_first_and_nobody_passes(void **state)
{
    (void)state;
    assert_true(ready(0));
    assert_false(ready(1));
    assert_true(waits(1) && waits(2));
    permit_put(&requests[0]);
    assert_false(ready(3)); /* there is one, and others wait for it */
    assert_true(waits(3));
    turn();
    assert_string_equal(told, "B");
    permit_put(&requests[1]);
    turn();
    permit_put(&requests[2]);
    turn();
    assert_string_equal(told, "BCD");
    assert_int_equal(permit_held(service.permit_desk), 1);
    assert_int_equal(permit_waiting(service.permit_desk), 0);
    assert_int_equal(times_seen(service.stats, HIST_permit_wait), 3); /* and not the one that had it at once */
}

static void who_waits_for_another_route_stands_in_nobody_s_way(void **state)
{
    (void)state;
    requests[2].route = requests[3].route = &routes[1];
    assert_true(ready(0));
    assert_true(waits(1));
    assert_true(ready(2));
    assert_true(waits(3));
    permit_put(&requests[2]);
    turn();
    assert_string_equal(told, "D");
}

/* A route's permit is not kept while that of all is waited for. */
static void both_are_needed_where_both_are_limited(void **state)
{
    (void)state;
    limit(2, 2, 1);
    requests[1].route = &routes[1];
    assert_true(ready(0));
    assert_false(ready(1));
    assert_true(waits(1));
    turn();
    assert_int_equal(permits_in_use(shared.permits, PERMIT_ALL), 1);
    assert_int_equal(permits_in_use(shared.permits, routes[1].permit_row), 0);
    permit_put(&requests[0]);
    turn();
    assert_string_equal(told, "B");
    assert_int_equal(permits_in_use(shared.permits, routes[0].permit_row), 0);
    assert_int_equal(permits_in_use(shared.permits, routes[1].permit_row), 1);
}

static void the_line_is_bounded_and_may_be_none(void **state)
{
    (void)state;
    assert_true(ready(0));
    for (int i = 1; i <= QUEUE; i++)
        assert_true(waits(i));
    assert_false(waits(QUEUE + 1));
    conf.permit_wait_us = 0;
    conf.permit_queue = 1000;
    assert_false(waits(QUEUE + 1));
}

static void whose_time_is_over_is_told(void **state)
{
    (void)state;
    assert_true(ready(0));
    assert_true(waits(1));
    conf.permit_wait_us = 1;
    assert_true(waits(2));
    turn();
    assert_string_equal(told, "c");
    assert_int_equal(permit_waiting(service.permit_desk), 1);
}

/* The database is not done with it although its request is. */
static void a_permit_comes_back_when_its_last_statement_has_ended(void **state)
{
    (void)state;
    assert_true(ready(0));
    struct lease *lease = &requests[0].permit->lease;
    lease_hold(lease);
    lease_hold(lease);
    permit_put(&requests[0]);
    assert_true(waits(1));
    lease_release(lease);
    turn();
    assert_string_equal(told, "");
    lease_release(lease);
    turn();
    assert_string_equal(told, "B");
}

static void another_process_is_heard(void **state)
{
    (void)state;
    assert_true(permits_take(shared.permits, routes[0].permit_row, ANOTHER, 0));
    assert_false(ready(0));
    assert_true(waits(0));
    turn();
    uint64_t times;
    assert_false(permits_give(shared.permits, routes[0].permit_row, ANOTHER, shared.wake_fd));
    assert_int_equal(read(shared.wake_fd[ME], &times, sizeof times), sizeof times);
    permit_look(service.permit_desk);
    assert_string_equal(told, "A");
    permit_put(&requests[0]);
    assert_true(permits_take(shared.permits, routes[0].permit_row, ANOTHER, 0));
    permits_give(shared.permits, routes[0].permit_row, ANOTHER, shared.wake_fd);
    assert_int_equal(read(shared.wake_fd[ME], &times, sizeof times), -1); /* nobody waits here any more */
}

static void without_a_limit_there_is_no_permit(void **state)
{
    (void)state;
    routes[0].permit_row = PERMIT_NO_ROW;
    assert_true(ready(0));
    assert_null(requests[0].permit);
}

#define at_desk(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        at_desk(who_came_first_is_served_first_and_nobody_passes),
        at_desk(who_waits_for_another_route_stands_in_nobody_s_way),
        at_desk(both_are_needed_where_both_are_limited),
        at_desk(the_line_is_bounded_and_may_be_none),
        at_desk(whose_time_is_over_is_told),
        at_desk(a_permit_comes_back_when_its_last_statement_has_ended),
        at_desk(another_process_is_heard),
        at_desk(without_a_limit_there_is_no_permit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
