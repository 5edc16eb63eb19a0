/* A mutex in shared memory whose holder may be stopped or killed at any moment: nobody waits longer than 2 ms for it,
 * and whoever gets it after its holder died is told, since what it guards may be half done. */
#ifndef SHM_LOCK_H
#define SHM_LOCK_H

#include "common/base.h"

#include <pthread.h>

enum lock_result {
    LOCK_TAKEN,
    LOCK_INHERITED, /* taken; its holder died: repair what it guards */
    LOCK_LATE,      /* not taken within 2 ms */
};

void lock_init(pthread_mutex_t *lock);
enum lock_result lock_take(pthread_mutex_t *lock) MUST_USE;
void lock_give(pthread_mutex_t *lock);

#endif
