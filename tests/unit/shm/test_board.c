#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/board.h"

static struct board *make(void)
{
    struct err err;
    struct board *board = board_create(&err);
    assert_non_null(board);
    return board;
}

static void rows_are_given_until_none_is_free(void **state)
{
    (void)state;
    struct board *board = make();
    for (int i = 0; i < BOARD_ROWS; i++)
        assert_int_equal(board_take(board, 0, 1), i);
    assert_int_equal(board_take(board, 0, 1), -1);
    board_set_state(board, 5, PROC_FREE);
    assert_int_equal(board_take(board, 0, 2), 5);
    assert_int_equal(board_state(board, 5), PROC_STARTING);
}

static void a_killed_process_leaves_its_write_on_the_board(void **state)
{
    (void)state;
    struct board *board = make();
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_given_until_none_is_free),
        cmocka_unit_test(a_killed_process_leaves_its_write_on_the_board),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
