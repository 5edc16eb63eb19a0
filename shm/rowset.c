#include "shm/rowset.h"
#include "shm/fault.h"

#include <unistd.h>

void rowset_wake_one(int row, const int *wake_fd)
{
    const uint64_t one = 1;
    ssize_t written = write(wake_fd[row], &one, sizeof one);
    (void)written; /* a full counter wakes as well */
}

void rowset_wake(const struct rowset *set, const int *wake_fd)
{
    for (int i = 0; i < ROWSET_WORDS; i++)
        for (uint64_t rows = set->words[i]; rows != 0; rows &= rows - 1) {
            rowset_wake_one(i * ROWSET_BITS + __builtin_ctzll(rows), wake_fd);
            FAULT(flight_woken);
        }
}

static int first_from(const struct rowset *set, int row)
{
    for (int i = row / ROWSET_BITS; i < ROWSET_WORDS; i++) {
        int skip = MAX(row - i * ROWSET_BITS, 0);
        uint64_t rows = set->words[i] >> skip << skip;
        if (rows != 0)
            return i * ROWSET_BITS + __builtin_ctzll(rows);
    }
    return -1;
}

int rowset_next(const struct rowset *set, int row)
{
    int next = first_from(set, row + 1);
    return next >= 0 ? next : first_from(set, 0);
}
