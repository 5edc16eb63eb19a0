/* A set of rows of the board in shared memory: who waits for something. A process adds and removes its own row alone,
 * and the master that of the dead; anyone may look. Every access is sequentially consistent, so that of who adds itself
 * and then looks at a word, and who changes that word and then looks at the set, one sees the other. The set is no
 * snapshot: its words are read one after the other, which this promise, of one row at a time, does not need. */
#ifndef SHM_ROWSET_H
#define SHM_ROWSET_H

#include "shm/board.h"

#include <stdatomic.h>

enum { ROWSET_BITS = 64, ROWSET_WORDS = BOARD_ROWS / ROWSET_BITS };
_Static_assert(BOARD_ROWS % ROWSET_BITS == 0, "whole words");

struct rowset {
    _Atomic uint64_t words[ROWSET_WORDS]; /* zeroed: nobody */
};

/* A full fence: what the caller looks at next, it sees as it is after it was added. */
static inline void rowset_add(struct rowset *set, int row)
{
    atomic_fetch_or(&set->words[row / ROWSET_BITS], UINT64_C(1) << row % ROWSET_BITS);
}

static inline void rowset_remove(struct rowset *set, int row)
{
    atomic_fetch_and(&set->words[row / ROWSET_BITS], ~(UINT64_C(1) << row % ROWSET_BITS));
}

static inline void rowset_clear(struct rowset *set)
{
    for (int i = 0; i < ROWSET_WORDS; i++)
        set->words[i] = 0;
}

/* Writes the eventfd of each. */
void rowset_wake(const struct rowset *set, const int *wake_fd);
void rowset_wake_one(int row, const int *wake_fd);
/* The first one behind row, round and round; row itself is the last. -1: nobody is in it. */
int rowset_next(const struct rowset *set, int row);

#endif
