#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shm/rowset.h"

static int wake_fd[BOARD_ROWS];

static bool is_woken(int row)
{
    uint64_t times;
    return read(wake_fd[row], &times, sizeof times) == sizeof times;
}

static void each_row_is_one_of_its_own(void **state)
{
    (void)state;
    for (int row = 0; row < BOARD_ROWS; row++) {
        struct rowset set = {0};
        rowset_add(&set, row);
        assert_int_equal(rowset_next(&set, 0), row);
        assert_int_equal(rowset_next(&set, BOARD_ROWS - 1), row);
        assert_int_equal(rowset_next(&set, row), row);
        rowset_remove(&set, (row + 64) % BOARD_ROWS);
        assert_int_equal(rowset_next(&set, row), row);
        rowset_remove(&set, row);
        assert_int_equal(rowset_next(&set, row), -1);
    }
}

static void the_next_one_is_found_round_and_round(void **state)
{
    (void)state;
    static const int rows[] = {0, 5, 63, 64, 100, 127};
    struct rowset set = {0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        rowset_add(&set, rows[i]);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(rowset_next(&set, rows[i]), rows[(i + 1) % ARRAY_LEN(rows)]);
    assert_int_equal(rowset_next(&set, 62), 63);
    assert_int_equal(rowset_next(&set, 65), 100);
    rowset_clear(&set);
    assert_int_equal(rowset_next(&set, 0), -1);
}

static void those_in_it_are_woken_and_nobody_else(void **state)
{
    (void)state;
    struct rowset set = {0};
    for (int row = 0; row < BOARD_ROWS; row++)
        assert_true((wake_fd[row] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) >= 0);
    for (int row = 0; row < BOARD_ROWS; row += 3)
        rowset_add(&set, row);
    rowset_wake(&set, wake_fd);
    for (int row = 0; row < BOARD_ROWS; row++)
        assert_int_equal(is_woken(row), row % 3 == 0);
    for (int row = 0; row < BOARD_ROWS; row++)
        close(wake_fd[row]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_one_of_its_own),
        cmocka_unit_test(the_next_one_is_found_round_and_round),
        cmocka_unit_test(those_in_it_are_woken_and_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
