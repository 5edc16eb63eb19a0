#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/slow.h"

enum { WRITERS = 3 };

static struct slow_query found[SLOW_ENTRIES];

static int setup(void **state)
{
    *state = mmap(NULL, slow_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return *state == MAP_FAILED;
}

static int teardown(void **state)
{
    return munmap(*state, slow_bytes());
}

/* Every part of it says n. */
static struct slow_query query_of(int64_t n)
{
    struct slow_query q = {.at_us = n, .run_us = n, .wait_us = n, .rows = n, .fingerprint = (uint64_t)n};
    memset(q.route, 'a' + (int)(n % 26), sizeof q.route - 1);
    memset(q.params, 'A' + (int)(n % 26), sizeof q.params - 1);
    return q;
}

static void assert_whole(const struct slow_query *q)
{
    struct slow_query wanted = query_of(q->run_us);
    wanted.number = q->number;
    assert_memory_equal(q, &wanted, sizeof wanted);
}

static void the_last_ones_are_read_the_latest_first(void **state)
{
    struct ring *slow = *state;
    assert_int_equal(slow_read(slow, found), 0);
    for (int n = 1; n <= SLOW_ENTRIES + 10; n++) {
        struct slow_query q = query_of(n);
        assert_int_equal(slow_add(slow, n % 64, &q), n);
    }
    assert_int_equal(slow_read(slow, found), SLOW_ENTRIES);
    for (int i = 0; i < SLOW_ENTRIES; i++) {
        assert_int_equal(found[i].number, SLOW_ENTRIES + 10 - i);
        assert_int_equal(found[i].run_us, found[i].number);
        assert_whole(&found[i]);
    }
}

static pid_t writer(struct ring *slow, int proc)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves it behind */
    for (int64_t n = proc;; n += WRITERS) {
        struct slow_query q = query_of(n);
        slow_add(slow, proc, &q);
    }
}

static void read_for(struct ring *slow, int turns)
{
    for (int i = 0; i < turns; i++) {
        int count = slow_read(slow, found);
        for (int j = 0; j < count; j++)
            assert_whole(&found[j]);
        for (int j = 1; j < count; j++)
            assert_true(found[j].number < found[j - 1].number);
    }
}

/* Killed wherever it is: the others go on, and once it is reaped the ring has all of its places again. */
static void writers_are_killed_and_no_reader_sees_half_an_entry(void **state)
{
    struct ring *slow = *state;
    pid_t pids[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        pids[i] = writer(slow, i);
    for (int turn = 0; turn < 100; turn++) {
        int proc = turn % WRITERS;
        read_for(slow, 5);
        kill(pids[proc], SIGKILL);
        assert_int_equal(waitpid(pids[proc], NULL, 0), pids[proc]);
        slow_reap(slow, proc);
        pids[proc] = writer(slow, proc);
    }
    for (int i = 0; i < WRITERS; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
        slow_reap(slow, i);
    }
    for (int n = 1; n <= SLOW_ENTRIES; n++) {
        struct slow_query q = query_of(n);
        assert_int_not_equal(slow_add(slow, 0, &q), 0);
    }
    assert_int_equal(slow_read(slow, found), SLOW_ENTRIES);
    read_for(slow, 1);
}

static void an_entry_that_is_being_written_is_passed_over(void **state)
{
    struct ring *slow = *state;
    struct slow_query q = query_of(1);
    /* The first entry's word behind the ring's head of 64 bytes, as a writer of row 5 that died leaves it, one round
     * ago. */
    uint64_t *word = (uint64_t *)(void *)((char *)slow + 64 + (slow_bytes() - 64) / SLOW_ENTRIES);
    *word = 6;
    assert_int_equal(slow_read(slow, found), 0);
    assert_int_equal(slow_add(slow, 0, &q), 2);
    assert_int_equal(slow_read(slow, found), 1);
    slow_reap(slow, 4);
    assert_int_not_equal(*word, 0);
    slow_reap(slow, 5);
    assert_int_equal(*word, 0);
}

static void parameters_come_back(void **state)
{
    (void)state;
    struct slow_query q = {0};
    const char *values[4];
    char large[SLOW_PARAMS_BYTES];
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = '\0';
    assert_true(slow_param_add(&q, "seven"));
    assert_true(slow_param_add(&q, NULL));
    assert_true(slow_param_add(&q, ""));
    assert_false(slow_param_add(&q, large));
    assert_int_equal(slow_params(&q, values, 4), 3);
    assert_string_equal(values[0], "seven");
    assert_null(values[1]);
    assert_string_equal(values[2], "");
    assert_int_equal(slow_params(&q, values, 2), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_ones_are_read_the_latest_first, setup, teardown),
        cmocka_unit_test_setup_teardown(writers_are_killed_and_no_reader_sees_half_an_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_that_is_being_written_is_passed_over, setup, teardown),
        cmocka_unit_test(parameters_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
