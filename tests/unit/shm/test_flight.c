#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "shm/control.h"
#include "tests/unit/shm/meet.h"

enum { SLOTS = 4096, A = 3, B = 5, C = 127 }; /* the slots of the table, rows of three processes */

static struct control control;
static int wake_fd[BOARD_ROWS];
static uint32_t users, posts; /* tags */
static const struct flight_key key = {42, 1042}, same_slot = {42 + SLOTS, 1042}, same_hash = {42, 7},
                               other = {43, 1043};

static int set_up(void **state)
{
    struct err err;
    (void)state;
    for (int i = 0; i < BOARD_ROWS; i++)
        if ((wake_fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0)
            return -1;
    users = tags_slot(slice_str("users"));
    posts = tags_slot(slice_str("posts"));
    return control_create(&control, &err) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < BOARD_ROWS; i++)
        close(wake_fd[i]);
    control_destroy(&control);
    return 0;
}

/* An entry of users that may wait. */
static struct flight_ticket join(struct flight_key k, int proc)
{
    return flight_join(control.flights, k, proc, control.tags, &users, 1, true);
}

static void finish(const struct flight_ticket *t, int proc, enum flight_end end, int status)
{
    flight_finish(control.flights, t, proc, end, status, wake_fd);
}

static enum flight_view look(struct flight_ticket *t)
{
    int status = -1;
    return flight_look(control.flights, t, &status);
}

static bool is_woken(int proc)
{
    uint64_t times;
    return read(wake_fd[proc], &times, sizeof times) == sizeof times;
}

static int woken_rows(void)
{
    int rows = 0;
    for (int i = 0; i < BOARD_ROWS; i++)
        rows += is_woken(i);
    return rows;
}

/* ---- roles ---- */

static void one_fetches_and_the_others_wait_for_its_end(void **state)
{
    (void)state;
    tags_raise(control.tags, &posts, 1);
    struct flight_ticket owner = join(key, A), waiter = join(key, B);
    assert_int_equal(owner.role, FLIGHT_OWNER);
    assert_int_equal(owner.born_seq, tags_now(control.tags));
    assert_int_equal(waiter.role, FLIGHT_WAITER);
    assert_int_equal(waiter.born_seq, owner.born_seq);
    assert_int_equal(look(&waiter), FLIGHT_RUNNING);
    finish(&owner, A, FLIGHT_VALUE, 0);
    assert_int_equal(look(&waiter), FLIGHT_HAS_VALUE);
    assert_int_equal(join(key, C).role, FLIGHT_OWNER);
}

static void another_key_of_the_slot_fetches_alone(void **state)
{
    (void)state;
    assert_int_equal(join(key, A).role, FLIGHT_OWNER);
    assert_int_equal(join(same_slot, B).role, FLIGHT_UNSHARED);
    assert_int_equal(join(same_hash, B).role, FLIGHT_UNSHARED);
    assert_int_equal(join(other, B).role, FLIGHT_OWNER);
}

static void who_would_not_wait_fetches_alone_and_is_not_woken(void **state)
{
    (void)state;
    struct flight_ticket owner = flight_join(control.flights, key, A, control.tags, &users, 1, false);
    assert_int_equal(owner.role, FLIGHT_OWNER);
    assert_int_equal(flight_join(control.flights, key, B, control.tags, &users, 1, false).role, FLIGHT_UNSHARED);
    finish(&owner, A, FLIGHT_VALUE, 0);
    assert_int_equal(woken_rows(), 0);
}

/* A flight that began before a tag was raised cannot bring what its joiners need. */
static void a_doomed_flight_is_taken(void **state)
{
    (void)state;
    struct flight_ticket doomed = join(key, A), waiter = join(key, B);
    tags_raise(control.tags, &users, 1);
    struct flight_ticket taker = join(key, C);
    assert_int_equal(taker.role, FLIGHT_OWNER);
    assert_true(taker.born_seq > doomed.born_seq);
    assert_int_equal(look(&waiter), FLIGHT_GONE);
    finish(&doomed, A, FLIGHT_VALUE, 0);
    assert_int_equal(look(&taker), FLIGHT_RUNNING);
    finish(&taker, C, FLIGHT_VALUE, 0);
    assert_int_equal(look(&taker), FLIGHT_HAS_VALUE);
    assert_true(is_woken(B)); /* of whoever ends the flight */
}

static void who_would_not_wait_takes_a_doomed_flight_as_well(void **state)
{
    (void)state;
    assert_int_equal(join(key, A).role, FLIGHT_OWNER);
    tags_raise_epoch(control.tags);
    assert_int_equal(flight_join(control.flights, key, B, control.tags, NULL, 0, false).role, FLIGHT_OWNER);
}

static void a_flight_that_other_tags_overtook_goes_on(void **state)
{
    (void)state;
    struct flight_ticket owner = join(key, A);
    tags_raise(control.tags, &posts, 1);
    struct flight_ticket waiter = join(key, B);
    assert_int_equal(waiter.role, FLIGHT_WAITER);
    assert_int_equal(waiter.born_seq, owner.born_seq);
    tags_raise(control.tags, &users, 1);
    assert_int_equal(join(same_slot, C).role, FLIGHT_UNSHARED); /* doomed or not, it is another key's */
}

/* ---- ends ---- */

static void the_end_wakes_those_who_wait_and_nobody_else(void **state)
{
    (void)state;
    struct flight_ticket owner = join(key, A), apart = join(other, A);
    struct flight_ticket left = join(key, 0);
    assert_int_equal(join(key, B).role, FLIGHT_WAITER);
    assert_int_equal(join(key, B).role, FLIGHT_WAITER);
    assert_int_equal(join(key, C).role, FLIGHT_WAITER);
    assert_int_equal(join(other, 1).role, FLIGHT_WAITER);
    flight_leave(control.flights, &left, 0);
    assert_int_equal(woken_rows(), 0);
    finish(&owner, A, FLIGHT_VALUE, 0);
    assert_true(is_woken(B));
    assert_true(is_woken(C));
    assert_int_equal(woken_rows(), 0);
    finish(&apart, A, FLIGHT_VALUE, 0);
    assert_true(is_woken(1));
    assert_int_equal(woken_rows(), 0);
}

static void without_a_value_each_fetches_alone(void **state)
{
    (void)state;
    struct flight_ticket owner = join(key, A), waiter = join(key, B);
    finish(&owner, A, FLIGHT_NONE, 0);
    assert_true(is_woken(B));
    assert_int_equal(look(&waiter), FLIGHT_HAS_NONE);
}

static void an_error_is_for_those_who_waited_for_this_key(void **state)
{
    (void)state;
    const int statuses[] = {503, 0, 404, 1023};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        int status = -1;
        struct flight_ticket owner = join(key, A), waiter = join(key, B), stranger = waiter;
        finish(&owner, A, FLIGHT_ERROR, statuses[i]);
        assert_int_equal(flight_look(control.flights, &waiter, &status), FLIGHT_HAS_FAILED);
        assert_int_equal(status, statuses[i]);
        stranger.key = same_hash; /* who joined when only a part of the key was to be seen */
        assert_int_equal(flight_look(control.flights, &stranger, &status), FLIGHT_GONE);
    }
}

static void who_comes_too_late_for_an_end_sees_the_next_flight(void **state)
{
    (void)state;
    struct flight_ticket first = join(key, A), waiter = join(key, B);
    finish(&first, A, FLIGHT_ERROR, 503);
    struct flight_ticket second = join(key, C);
    assert_int_equal(second.role, FLIGHT_OWNER);
    assert_int_equal(look(&waiter), FLIGHT_GONE);
    finish(&first, A, FLIGHT_VALUE, 0);
    assert_int_equal(look(&second), FLIGHT_RUNNING);
}

/* ---- taking over ---- */

static void a_waiter_takes_over_and_the_late_owner_ends_nothing(void **state)
{
    (void)state;
    struct flight_ticket late = join(key, A), waiter = join(key, B), patient = join(key, C);
    tags_raise(control.tags, &posts, 1);
    assert_true(flight_take_over(control.flights, &waiter, B, control.tags));
    assert_int_equal(waiter.role, FLIGHT_OWNER);
    assert_int_equal(waiter.born_seq, tags_now(control.tags));
    finish(&late, A, FLIGHT_ERROR, 503);
    assert_int_equal(woken_rows(), 0);
    assert_int_equal(look(&waiter), FLIGHT_RUNNING);
    assert_int_equal(look(&late), FLIGHT_GONE);
    assert_int_equal(look(&patient), FLIGHT_GONE);
    finish(&waiter, B, FLIGHT_VALUE, 0);
    assert_true(is_woken(C));
}

static void one_of_many_waiters_takes_over(void **state)
{
    (void)state;
    (void)join(key, A);
    struct flight_ticket first = join(key, B), second = join(key, C);
    assert_true(flight_take_over(control.flights, &first, B, control.tags));
    assert_false(flight_take_over(control.flights, &second, C, control.tags));
    assert_int_equal(join(key, C).role, FLIGHT_WAITER);
}

static void what_has_ended_is_not_taken_over(void **state)
{
    (void)state;
    struct flight_ticket owner = join(key, A), waiter = join(key, B);
    finish(&owner, A, FLIGHT_VALUE, 0);
    assert_false(flight_take_over(control.flights, &waiter, B, control.tags));
    assert_int_equal(look(&waiter), FLIGHT_HAS_VALUE);
}

/* ---- deaths ---- */

static void the_flights_of_the_dead_are_anyones(void **state)
{
    (void)state;
    struct flight_ticket dead = join(key, A), waiter = join(key, B), alive = join(other, B);
    flight_reap(control.flights, A);
    assert_int_equal(look(&waiter), FLIGHT_GONE);
    assert_int_equal(look(&alive), FLIGHT_RUNNING);
    assert_false(flight_take_over(control.flights, &waiter, B, control.tags));
    struct flight_ticket next = join(same_slot, C);
    assert_int_equal(next.role, FLIGHT_OWNER);
    finish(&dead, A, FLIGHT_VALUE, 0); /* the next process of the row has no such ticket; even so */
    assert_int_equal(look(&next), FLIGHT_RUNNING);
}

static void the_dead_wait_no_more(void **state)
{
    (void)state;
    struct flight_ticket owner = join(key, A);
    (void)join(key, B);
    (void)join(key, C);
    flight_reap(control.flights, B);
    finish(&owner, A, FLIGHT_VALUE, 0);
    assert_true(is_woken(C));
    assert_int_equal(woken_rows(), 0);
}

/* ---- at once ---- */

/* Two processes run flights of a few keys; each counts itself in and out of what only one may do at a time. */
static void a_key_has_one_owner_at_a_time(void **state)
{
    (void)state;
    enum { KEYS = 4, ROUNDS = 20000 };
    struct shared_counts {
        _Atomic int inside[KEYS], owned, violations;
    } *counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    int proc = child == 0 ? B : A, status;
    for (int i = 0; i < ROUNDS; i++) {
        const struct flight_key k = {(uint64_t)(i % KEYS), 1};
        struct flight_ticket t = join(k, proc);
        if (t.role != FLIGHT_OWNER)
            continue;
        counts->owned++;
        if (++counts->inside[k.hash] != 1)
            counts->violations++;
        counts->inside[k.hash]--;
        finish(&t, proc, FLIGHT_VALUE, 0);
    }
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(counts->violations, 0);
    assert_true(counts->owned > ROUNDS / 2);
    munmap(counts, sizeof *counts);
}

static void spend(int turns)
{
    for (volatile int i = 0; i < turns; i = i + 1) {
    }
}

/* Owns and ends flights of the key one after the other, till it is killed. */
static pid_t busy_owner(int proc)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    for (;;) {
        struct flight_ticket t = flight_join(control.flights, key, proc, control.tags, &users, 1, false);
        spend(500);
        if (t.role == FLIGHT_OWNER)
            finish(&t, proc, FLIGHT_VALUE, 0);
    }
}

/* As a parked request does: it looks when it is woken. False: nobody woke it. */
static bool wait_for_end(struct flight_ticket *t, int proc)
{
    enum { PATIENCE_MS = 2000 };
    struct pollfd fd = {.fd = wake_fd[proc], .events = POLLIN};
    do {
        if (poll(&fd, 1, PATIENCE_MS) != 1)
            return false;
        (void)is_woken(proc);
    } while (look(t) == FLIGHT_RUNNING);
    flight_leave(control.flights, t, proc);
    return true;
}

enum { FETCH_TURNS = 200 };

/* One flight a round, so that nothing but its own end wakes who waits for it. */
static pid_t owner_of_rounds(int proc, _Atomic uint64_t *arrived)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    for (uint64_t round = 0;; round++) {
        meet(arrived, round);
        struct flight_ticket t = flight_join(control.flights, key, proc, control.tags, &users, 1, false);
        spend(FETCH_TURNS);
        if (t.role == FLIGHT_OWNER)
            finish(&t, proc, FLIGHT_VALUE, 0);
    }
}

static void no_waiter_is_forgotten(void **state)
{
    (void)state;
    enum { FOR_MS = 300 };
    int status;
    bool woken = true;
    _Atomic uint64_t *arrived = mmap(NULL, sizeof *arrived, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = owner_of_rounds(A, arrived);
    const int64_t end_us = clock_mono_us() + FOR_MS * US_PER_MS;
    for (uint64_t round = 0; woken && clock_mono_us() < end_us; round++) {
        meet(arrived, round);
        spend((int)(round % (2 * FETCH_TURNS)));
        struct flight_ticket t = join(key, B);
        if (t.role == FLIGHT_OWNER)
            finish(&t, B, FLIGHT_VALUE, 0);
        woken = t.role != FLIGHT_WAITER || wait_for_end(&t, B);
    }
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    munmap(arrived, sizeof *arrived);
    assert_true(woken);
}

/* Killed at a random moment again and again: nobody waits, and every slot can be had. */
static void a_killed_process_blocks_nobody(void **state)
{
    (void)state;
    int status;
    for (int round = 0; round < 100; round++) {
        pid_t child = busy_owner(B);
        usleep((useconds_t)(random() % 2000));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        flight_reap(control.flights, B);
        int64_t start_us = clock_mono_us();
        struct flight_ticket t = join(key, A);
        assert_int_equal(t.role, FLIGHT_OWNER);
        finish(&t, A, FLIGHT_VALUE, 0);
        assert_int_equal(look(&t), FLIGHT_HAS_VALUE);
        assert_true(clock_mono_us() - start_us < 10 * US_PER_S); /* the machine may be busy */
    }
}

#define flying(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        flying(one_fetches_and_the_others_wait_for_its_end),
        flying(another_key_of_the_slot_fetches_alone),
        flying(who_would_not_wait_fetches_alone_and_is_not_woken),
        flying(a_doomed_flight_is_taken),
        flying(who_would_not_wait_takes_a_doomed_flight_as_well),
        flying(a_flight_that_other_tags_overtook_goes_on),
        flying(the_end_wakes_those_who_wait_and_nobody_else),
        flying(without_a_value_each_fetches_alone),
        flying(an_error_is_for_those_who_waited_for_this_key),
        flying(who_comes_too_late_for_an_end_sees_the_next_flight),
        flying(a_waiter_takes_over_and_the_late_owner_ends_nothing),
        flying(one_of_many_waiters_takes_over),
        flying(what_has_ended_is_not_taken_over),
        flying(the_flights_of_the_dead_are_anyones),
        flying(the_dead_wait_no_more),
        flying(a_key_has_one_owner_at_a_time),
        flying(no_waiter_is_forgotten),
        flying(a_killed_process_blocks_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
