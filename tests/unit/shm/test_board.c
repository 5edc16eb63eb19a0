#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/control.h"

static struct control control;
static struct board *board;

static int set_up(void **state)
{
    struct err err;
    (void)state;
    if (!control_create(&control, &err))
        return -1;
    board = control.board;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    control_destroy(&control);
    return 0;
}

static void rows_are_given_until_none_is_free(void **state)
{
    (void)state;
    for (int i = 0; i < BOARD_ROWS; i++)
        assert_int_equal(board_take(board, 0, 1), i);
    assert_int_equal(board_take(board, 0, 1), -1);
    board_set_state(board, 5, PROC_FREE);
    assert_int_equal(board_take(board, 0, 2), 5);
    assert_int_equal(board_state(board, 5), PROC_STARTING);
}

static void who_takes_a_row_finds_nothing_of_who_had_it(void **state)
{
    (void)state;
    int proc = board_take(board, 3, 1);
    uint32_t first = board_incarnation(board, proc);
    board_set_state(board, proc, PROC_READY);
    board_beat(board, proc, 77);
    assert_int_equal(board_last_beat_us(board, proc), 77);
    board_set_state(board, proc, PROC_FREE);
    assert_int_not_equal(first, 0);
    assert_int_equal(board_incarnation(board, proc), 0);
    assert_int_equal(board_take(board, 3, 2), proc);
    assert_int_not_equal(board_incarnation(board, proc), first);
    assert_int_equal(board_state(board, proc), PROC_STARTING);
    assert_int_equal(board_last_beat_us(board, proc), 0);
}

static void a_killed_process_leaves_its_write_on_the_board(void **state)
{
    (void)state;
    int proc = board_take(board, 0, 1), status;
    pid_t child = fork();
    if (child == 0) {
        board_write_begin(board, proc);
        board_write_begin(board, proc);
        board_write_end(board, proc);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(board_writes(board, proc), 1);
    board_set_state(board, proc, PROC_FREE);
    assert_int_equal(board_take(board, 0, 2), proc);
    assert_int_equal(board_writes(board, proc), 0);
}

/* Takes rows until none is left. */
static pid_t take_all(int slot, const _Atomic bool *go)
{
    pid_t pid = fork();
    if (pid == 0) {
        while (!*go) {
        }
        int count = 0;
        while (board_take(board, slot, 1) >= 0)
            count++;
        _exit(count);
    }
    return pid;
}

/* As in an upgrade. */
static void two_masters_never_take_the_same_row(void **state)
{
    (void)state;
    _Atomic bool *go = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(go != MAP_FAILED);
    for (int turn = 0; turn < 300; turn++) {
        int one, other;
        *go = false;
        pid_t pids[] = {take_all(0, go), take_all(1, go)};
        *go = true;
        assert_int_equal(waitpid(pids[0], &one, 0), pids[0]);
        assert_int_equal(waitpid(pids[1], &other, 0), pids[1]);
        assert_int_equal(WEXITSTATUS(one) + WEXITSTATUS(other), BOARD_ROWS);
        for (int proc = 0; proc < BOARD_ROWS; proc++)
            board_set_state(board, proc, PROC_FREE);
    }
    munmap((void *)(uintptr_t)go, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_are_given_until_none_is_free, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_takes_a_row_finds_nothing_of_who_had_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_killed_process_leaves_its_write_on_the_board, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_masters_never_take_the_same_row, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
