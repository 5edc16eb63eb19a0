#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "shm/flight.h"

struct fixture {
    struct board *board;
    struct flights *flights;
    int wake_fd[BOARD_ROWS];
    int a, b; /* rows of two processes */
};

static int setup(void **state)
{
    struct err err;
    struct fixture *f = xcalloc(1, sizeof *f);
    f->board = board_create(&err);
    f->flights = flights_create(f->board, &err);
    f->a = board_take(f->board, 0, 1);
    f->b = board_take(f->board, 1, 1);
    for (int i = 0; i < 2; i++)
        f->wake_fd[i] = eventfd(0, EFD_NONBLOCK);
    *state = f;
    return f->flights == NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    flights_destroy(&f->flights);
    close(f->wake_fd[0]);
    close(f->wake_fd[1]);
    free(f);
    return 0;
}

static bool always(void *arg, uint64_t born_seq)
{
    (void)arg, (void)born_seq;
    return true;
}

static bool up_to_five(void *arg, uint64_t born_seq)
{
    (void)arg;
    return born_seq >= 5;
}

static bool woken(struct fixture *f, int proc)
{
    uint64_t times;
    return read(f->wake_fd[proc], &times, sizeof times) == sizeof times;
}

static void one_fetches_and_the_others_wait(void **state)
{
    struct fixture *f = *state;
    enum flight_end end;
    int status;
    struct flight_ticket owner = flight_join(f->flights, 42, f->a, 7, always, NULL);
    struct flight_ticket waiter = flight_join(f->flights, 42, f->b, 9, always, NULL);
    assert_int_equal(owner.role, FLIGHT_OWNER);
    assert_int_equal(waiter.role, FLIGHT_WAITER);
    assert_int_equal(waiter.born_seq, 7);
    assert_int_equal(flight_look(f->flights, &waiter, 42, &end, &status), FLIGHT_RUNNING);
    assert_false(woken(f, f->b));
    assert_true(flight_finish(f->flights, &owner, f->a, FLIGHT_ERROR, 503, f->wake_fd));
    assert_true(woken(f, f->b));
    assert_false(woken(f, f->a));
    assert_int_equal(flight_look(f->flights, &waiter, 42, &end, &status), FLIGHT_ENDED);
    assert_int_equal(end, FLIGHT_ERROR);
    assert_int_equal(status, 503);
}

static void another_key_of_the_slot_fetches_alone(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(flight_join(f->flights, 42, f->a, 1, always, NULL).role, FLIGHT_OWNER);
    assert_int_equal(flight_join(f->flights, 42 + 4096, f->b, 1, always, NULL).role, FLIGHT_UNSHARED);
    assert_int_equal(flight_join(f->flights, 43, f->b, 1, always, NULL).role, FLIGHT_OWNER);
}

static void who_needs_newer_data_does_not_wait(void **state)
{
    struct fixture *f = *state;
    struct flight_ticket old = flight_join(f->flights, 42, f->a, 4, always, NULL);
    assert_int_equal(flight_join(f->flights, 42, f->b, 6, up_to_five, NULL).role, FLIGHT_UNSHARED);
    assert_true(flight_finish(f->flights, &old, f->a, FLIGHT_VALUE, 0, f->wake_fd));
    assert_int_equal(flight_join(f->flights, 42, f->a, 6, always, NULL).role, FLIGHT_OWNER);
    assert_int_equal(flight_join(f->flights, 42, f->b, 6, up_to_five, NULL).role, FLIGHT_WAITER);
}

static void a_late_owner_ends_nothing(void **state)
{
    struct fixture *f = *state;
    enum flight_end end;
    int status;
    struct flight_ticket late = flight_join(f->flights, 42, f->a, 1, always, NULL);
    board_set_state(f->board, f->a, PROC_FREE);
    struct flight_ticket owner = flight_join(f->flights, 42, f->b, 2, always, NULL);
    assert_int_equal(owner.role, FLIGHT_OWNER);
    assert_true(flight_finish(f->flights, &late, f->a, FLIGHT_VALUE, 0, f->wake_fd));
    assert_int_equal(flight_look(f->flights, &owner, 42, &end, &status), FLIGHT_RUNNING);
    assert_int_equal(flight_look(f->flights, &late, 42, &end, &status), FLIGHT_ORPHAN);
}

static void waiters_of_a_dead_owner_are_told(void **state)
{
    struct fixture *f = *state;
    enum flight_end end;
    int status;
    assert_int_equal(flight_join(f->flights, 42, f->a, 1, always, NULL).role, FLIGHT_OWNER);
    struct flight_ticket waiter = flight_join(f->flights, 42, f->b, 1, always, NULL);
    board_set_state(f->board, f->a, PROC_FREE);
    assert_int_equal(flight_look(f->flights, &waiter, 42, &end, &status), FLIGHT_ORPHAN);
    assert_int_equal(board_take(f->board, 0, 2), f->a); /* the row's next process does not revive the flight */
    assert_int_equal(flight_look(f->flights, &waiter, 42, &end, &status), FLIGHT_ORPHAN);
    assert_int_equal(flight_join(f->flights, 42, f->b, 1, always, NULL).role, FLIGHT_OWNER);
}

/* Two processes run flights of a few keys; each counts itself in and out of what only one may do at a time. */
static void a_key_has_one_owner_at_a_time(void **state)
{
    enum { KEYS = 4, ROUNDS = 20000 };
    struct fixture *f = *state;
    struct shared_counts {
        _Atomic int inside[KEYS], owned, violations;
    } *counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    int proc = child == 0 ? f->b : f->a, status;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t key = (uint64_t)(i % KEYS);
        struct flight_ticket t = flight_join(f->flights, key, proc, 1, always, NULL);
        if (t.role != FLIGHT_OWNER)
            continue;
        counts->owned++;
        if (++counts->inside[key] != 1)
            counts->violations++;
        counts->inside[key]--;
        while (!flight_finish(f->flights, &t, proc, FLIGHT_VALUE, 0, f->wake_fd))
            ;
    }
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(counts->violations, 0);
    assert_true(counts->owned > ROUNDS / 2);
    munmap(counts, sizeof *counts);
}

/* Killed at a random moment again and again: the locks stay usable and nobody waits long. */
static void a_killed_process_blocks_nobody(void **state)
{
    struct fixture *f = *state;
    int status;
    for (int round = 0; round < 100; round++) {
        pid_t child = fork();
        if (child == 0)
            for (uint64_t key = 0;; key = (key + 1) % 64) {
                struct flight_ticket t = flight_join(f->flights, key, f->b, 1, always, NULL);
                if (t.role == FLIGHT_OWNER && !flight_finish(f->flights, &t, f->b, FLIGHT_VALUE, 0, f->wake_fd))
                    continue;
            }
        usleep((useconds_t)(random() % 2000));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        board_set_state(f->board, f->b, PROC_FREE);
        assert_int_equal(board_take(f->board, 1, 1), f->b);
        int64_t start_us = clock_mono_us();
        for (uint64_t key = 0; key < 64; key++) {
            struct flight_ticket t = flight_join(f->flights, key, f->a, 1, always, NULL);
            assert_int_equal(t.role, FLIGHT_OWNER);
            assert_true(flight_finish(f->flights, &t, f->a, FLIGHT_VALUE, 0, f->wake_fd));
        }
        assert_true(clock_mono_us() - start_us < US_PER_S);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_fetches_and_the_others_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(another_key_of_the_slot_fetches_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(who_needs_newer_data_does_not_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(a_late_owner_ends_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(waiters_of_a_dead_owner_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_has_one_owner_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_process_blocks_nobody, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
