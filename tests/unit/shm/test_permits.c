#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "shm/control.h"

enum { A = 3, B = 5, C = 127 }; /* rows of three processes */

static struct control control;
static struct permits *permits;
static struct permit_debts debts;
static int wake_fd[BOARD_ROWS];
static int row;

static void limit(int max)
{
    permits_limit(permits, &row, &max, 1);
}

static int set_up(void **state)
{
    struct err err;
    (void)state;
    for (int i = 0; i < BOARD_ROWS; i++)
        if ((wake_fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0)
            return -1;
    if (!control_create(&control, &err))
        return -1;
    permits = control.permits;
    row = permits_row(permits, "GET /a");
    limit(2);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < BOARD_ROWS; i++)
        close(wake_fd[i]);
    permits_forget(&debts);
    control_destroy(&control);
    return 0;
}

static bool take(int proc)
{
    return permits_take(permits, row, proc, US_PER_S);
}

static bool give(int proc)
{
    return permits_give(permits, row, proc, wake_fd);
}

static bool is_woken(int proc)
{
    uint64_t times;
    return read(wake_fd[proc], &times, sizeof times) == sizeof times;
}

static void no_more_than_the_limit_are_taken_by_all_together(void **state)
{
    (void)state;
    assert_true(take(A));
    assert_true(take(B));
    assert_false(take(A));
    assert_false(take(C));
    assert_int_equal(permits_in_use(permits, row), 2);
    give(A);
    assert_true(take(C));
    assert_false(take(B));
}

static void without_a_limit_all_are_counted_and_none_is_refused(void **state)
{
    (void)state;
    limit(0);
    for (int i = 0; i < 100; i++)
        assert_true(take(A));
    assert_int_equal(permits_in_use(permits, row), 100);
}

static void a_lower_limit_lets_none_pass_before_enough_came_back(void **state)
{
    (void)state;
    assert_true(take(A));
    assert_true(take(A));
    limit(1);
    assert_int_equal(permits_max(permits, row), 1);
    give(A);
    assert_false(take(B));
    give(A);
    assert_true(take(B));
    limit(3);
    assert_true(take(A));
    assert_true(take(A));
    assert_false(take(A));
}

static void a_row_is_its_name_s_and_the_limits_are_what_was_said_last(void **state)
{
    (void)state;
    int other = permits_row(permits, "GET /b");
    int rows[] = {PERMIT_ALL, other, PERMIT_NO_ROW}, maxes[] = {7, 5, 3};
    assert_int_equal(permits_row(permits, "GET /a"), row);
    assert_int_equal(permits_row(permits, "GET /b"), other);
    assert_int_not_equal(other, row);
    permits_limit(permits, rows, maxes, 3);
    assert_int_equal(permits_max(permits, PERMIT_ALL), 7);
    assert_int_equal(permits_max(permits, other), 5);
    assert_int_equal(permits_max(permits, row), 0);
}

static void a_full_table_gives_away_what_has_no_limit_and_is_not_in_use(void **state)
{
    (void)state;
    char name[32];
    int held = permits_row(permits, "GET /held");
    for (int i = 2; i < PERMIT_ROWS - 1; i++) {
        snprintf(name, sizeof name, "GET /%d", i);
        assert_int_not_equal(permits_row(permits, name), PERMIT_NO_ROW);
    }
    int rows[PERMIT_ROWS], maxes[PERMIT_ROWS], count = 0;
    for (int i = 1; i < PERMIT_ROWS; i++)
        if (i != held && i != 100) {
            rows[count] = i;
            maxes[count++] = 1;
        }
    permits_limit(permits, rows, maxes, count);
    assert_true(permits_take(permits, held, A, 0));
    assert_int_equal(permits_row(permits, "GET /new"), 100);
    rows[count] = 100;
    maxes[count++] = 1;
    permits_limit(permits, rows, maxes, count);
    assert_int_equal(permits_row(permits, "GET /newer"), PERMIT_NO_ROW);
    permits_give(permits, held, A, wake_fd);
    assert_int_equal(permits_row(permits, "GET /newer"), held);
}

/* Before they are limited, as when a reload brings several at once. */
static void those_that_are_new_together_have_rows_of_their_own(void **state)
{
    (void)state;
    char name[32];
    for (int i = 2; i < PERMIT_ROWS; i++) {
        snprintf(name, sizeof name, "GET /%d", i);
        assert_int_not_equal(permits_row(permits, name), PERMIT_NO_ROW);
    }
    limit(2); /* of the first alone */
    int one = permits_row(permits, "GET /one"), two = permits_row(permits, "GET /two");
    assert_int_not_equal(one, two);
    assert_int_equal(permits_row(permits, "GET /one"), one);
    int known = permits_row(permits, "GET /4"), three = permits_row(permits, "GET /three");
    assert_int_not_equal(known, three);
    assert_int_equal(permits_row(permits, "GET /4"), known);
}

static void who_waits_is_woken_in_turn_one_for_each(void **state)
{
    (void)state;
    limit(1);
    permits_wait(permits, row, A);
    permits_wait(permits, row, B);
    permits_wait(permits, row, C);
    assert_true(take(A));
    assert_false(give(A));
    assert_true(is_woken(B));
    assert_false(is_woken(C));
    assert_true(take(B));
    permits_leave(permits, row, B);
    assert_false(give(B));
    assert_true(is_woken(C));
    assert_true(take(C));
    permits_leave(permits, row, C);
    assert_false(give(C));
    assert_true(is_woken(A));
    assert_true(take(A));
    assert_true(give(A)); /* it is the next itself, and needs no waking */
    assert_false(is_woken(A) || is_woken(B) || is_woken(C));
}

/* With a second beyond the longest of its statements. */
static void what_the_dead_had_sent_counts_until_it_must_be_over(void **state)
{
    (void)state;
    const int64_t died_us = 1000 * US_PER_S, over_us = died_us + 3 * US_PER_S;
    assert_true(permits_take(permits, row, A, 2 * US_PER_S - US_PER_MS));
    assert_true(permits_take(permits, row, A, US_PER_MS));
    permits_wait(permits, row, A);
    permits_wait(permits, row, B);
    permits_reap(permits, A, died_us, &debts);
    assert_int_equal(permits_in_use(permits, row), 2);
    assert_false(take(A)); /* the next process of that row */
    assert_int_equal(permits_settle(permits, &debts, died_us, wake_fd), over_us);
    assert_int_equal(permits_settle(permits, &debts, over_us - 1, wake_fd), over_us);
    assert_false(take(B));
    assert_int_equal(permits_settle(permits, &debts, over_us, wake_fd), INT64_MAX);
    assert_true(is_woken(B));
    assert_false(is_woken(A));
    assert_true(take(A) && take(B));
    assert_false(take(C));
}

/* One that died later takes nothing of the time of those before it. */
static void each_death_has_its_own_time(void **state)
{
    (void)state;
    assert_true(take(A));
    permits_reap(permits, A, 0, &debts);
    assert_true(take(A));
    permits_reap(permits, A, US_PER_S, &debts);
    assert_int_equal(permits_in_use(permits, row), 2);
    (void)permits_settle(permits, &debts, 2500 * US_PER_MS, wake_fd);
    assert_int_equal(permits_in_use(permits, row), 1);
    (void)permits_settle(permits, &debts, 3500 * US_PER_MS, wake_fd);
    assert_int_equal(permits_in_use(permits, row), 0);
    assert_int_equal(debts.count, 0);
}

/* Those of a master that was killed with its debts. */
static void what_no_debt_tells_of_is_inherited(void **state)
{
    (void)state;
    struct permit_debts next = {0};
    assert_true(take(A) && take(B));
    permits_reap(permits, A, 0, &debts);
    permits_reap(permits, B, 0, &next);
    permits_inherit(permits, &next, 9 * US_PER_S);
    permits_inherit(permits, &next, 99 * US_PER_S);
    assert_int_equal(permits_settle(permits, &next, 8 * US_PER_S, wake_fd), 9 * US_PER_S);
    assert_int_equal(permits_in_use(permits, row), 1);
    assert_int_equal(permits_settle(permits, &next, 9 * US_PER_S, wake_fd), INT64_MAX);
    assert_int_equal(permits_in_use(permits, row), 0);
    permits_forget(&next);
    permits_forget(&debts);
}

/* ---- processes that meet ---- */

struct seen {
    _Atomic int inside, most;
    _Atomic uint64_t passed;
};

static void come_and_go(struct seen *seen, int proc)
{
    for (int i = 0; i < 20000; i++) {
        if (!take(proc))
            continue;
        int inside = ++seen->inside;
        if (inside > seen->most)
            seen->most = inside;
        seen->passed++;
        seen->inside--;
        give(proc);
    }
}

static void those_who_meet_are_never_too_many(void **state)
{
    (void)state;
    enum { CHILDREN = 4 };
    struct seen *seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(seen, MAP_FAILED);
    for (int i = 0; i < CHILDREN; i++) {
        if (fork() != 0)
            continue;
        come_and_go(seen, i);
        _exit(0);
    }
    for (int i = 0; i < CHILDREN; i++)
        wait(NULL);
    assert_in_range(seen->most, 1, 2);
    assert_true(seen->passed > 20000);
    assert_int_equal(permits_in_use(permits, row), 0);
    munmap(seen, sizeof *seen);
}

#define in_control(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_control(no_more_than_the_limit_are_taken_by_all_together),
        in_control(without_a_limit_all_are_counted_and_none_is_refused),
        in_control(a_lower_limit_lets_none_pass_before_enough_came_back),
        in_control(a_row_is_its_name_s_and_the_limits_are_what_was_said_last),
        in_control(a_full_table_gives_away_what_has_no_limit_and_is_not_in_use),
        in_control(those_that_are_new_together_have_rows_of_their_own),
        in_control(who_waits_is_woken_in_turn_one_for_each),
        in_control(what_the_dead_had_sent_counts_until_it_must_be_over),
        in_control(each_death_has_its_own_time),
        in_control(what_no_debt_tells_of_is_inherited),
        in_control(those_who_meet_are_never_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
