/* For tests whose processes shall come to a place together. */
#ifndef TESTS_UNIT_SHM_MEET_H
#define TESTS_UNIT_SHM_MEET_H

#include <sched.h>
#include <stdint.h>

/* Two processes begin each round at about the same time. */
static inline void meet(_Atomic uint64_t *arrived, uint64_t round)
{
    enum { SPINS = 2000 };
    ++*arrived;
    for (int i = 0; *arrived < 2 * (round + 1); i++)
        if (i >= SPINS)
            sched_yield();
}

#endif
