#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/thread.h"
#include "shm/control.h"

static struct control control;
static int proc;

static int set_up(void **state)
{
    struct err err;
    (void)state;
    last_words_prepare();
    if (!control_create(&control, &err))
        return -1;
    proc = board_take(control.board, 0, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    control_destroy(&control);
    return 0;
}

__attribute__((noinline)) static void do_crash(void (*crash)(void))
{
    crash();
    _exit(0);
}

/* What waitpid() says of a child that crashes so; no core. */
static int status_of(void (*crash)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        log_set_fd(-1);
        last_words_attach(control.board, proc);
        do_crash(crash);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static const struct last_words *words(void)
{
    return board_last_words(control.board, proc);
}

static void assert_killed_by(int status, int sig)
{
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), sig);
    assert_int_equal(words()->signal, sig);
    assert_in_range(words()->frame_count, 3, FRAMES_MAX);
}

static void check_fails(void)
{
    CHECK(proc < 0);
}

#ifndef __SANITIZE_ADDRESS__
static int *volatile nowhere = (int *)16;

static void store_nowhere(void)
{
    *nowhere = 1;
}

static int deep(int left)
{
    volatile char room[4096];
    room[0] = (char)left;
    return left == 0 ? room[0] : deep(left - 1) + room[0];
}

static void use_up_the_stack(void)
{
    setrlimit(RLIMIT_STACK, &(struct rlimit){1 << 20, 1 << 20});
    deep(1 << 20);
}

static void *deep_in_a_thread(void *arg)
{
    (void)arg;
    deep(1 << 20);
    return NULL;
}

static void use_up_a_threads_stack(void)
{
    pthread_t thread;
    CHECK(thread_start(&thread, "deep", deep_in_a_thread, NULL));
    pthread_join(thread, NULL);
}

static void ask_for_an_end(void)
{
    kill(getpid(), SIGSEGV);
    pause();
}

static void a_fault_leaves_its_address_and_dies_of_it(void **state)
{
    (void)state;
    assert_killed_by(status_of(store_nowhere), SIGSEGV);
    assert_true(words()->faulted);
    assert_int_equal(words()->fault_at, 16);
    assert_string_equal(words()->panic, "");
}

static void a_signal_from_elsewhere_has_its_usual_end(void **state)
{
    (void)state;
    assert_killed_by(status_of(ask_for_an_end), SIGSEGV);
    assert_false(words()->faulted);
}

static void a_stack_that_has_run_out_is_told_too(void **state)
{
    (void)state;
    assert_killed_by(status_of(use_up_the_stack), SIGSEGV);
}

static void so_is_a_threads(void **state)
{
    (void)state;
    assert_killed_by(status_of(use_up_a_threads_stack), SIGSEGV);
    assert_string_equal(words()->thread, "deep");
}
#endif

static void a_failed_check_leaves_its_words_and_whence_it_came(void **state)
{
    (void)state;
    assert_killed_by(status_of(check_fails), SIGABRT);
    assert_non_null(strstr(words()->panic, "this must hold and does not: proc < 0"));
    bool found = false;
    for (int i = 0; i < words()->frame_count; i++) {
        uintptr_t at = (uintptr_t)words()->frames[i], from = (uintptr_t)do_crash;
        found |= at > from && at < from + 64;
    }
    assert_true(found);
}

static void the_next_of_the_row_finds_none(void **state)
{
    (void)state;
    status_of(check_fails);
    board_set_state(control.board, proc, PROC_FREE);
    assert_int_equal(board_take(control.board, 0, 2), proc);
    assert_int_equal(words()->signal, 0);
    assert_int_equal(words()->frame_count, 0);
    assert_string_equal(words()->panic, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test_setup_teardown(a_fault_leaves_its_address_and_dies_of_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_signal_from_elsewhere_has_its_usual_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stack_that_has_run_out_is_told_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(so_is_a_threads, set_up, tear_down),
#endif
        cmocka_unit_test_setup_teardown(a_failed_check_leaves_its_words_and_whence_it_came, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_next_of_the_row_finds_none, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
