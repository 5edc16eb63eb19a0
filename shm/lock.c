#include "shm/lock.h"

#include <errno.h>
#include <time.h>

enum { WAIT_NS = 2000000 };

void lock_init(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attr;
    CHECK(pthread_mutexattr_init(&attr) == 0);
    CHECK(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0);
    CHECK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
    CHECK(pthread_mutex_init(lock, &attr) == 0);
    pthread_mutexattr_destroy(&attr);
}

enum lock_result lock_take(pthread_mutex_t *lock)
{
    int failed = pthread_mutex_trylock(lock);
    if (failed == EBUSY) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WAIT_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        failed = pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &until);
    }
    if (failed == EOWNERDEAD)
        return pthread_mutex_consistent(lock) == 0 ? LOCK_INHERITED : LOCK_LATE;
    return failed == 0 ? LOCK_TAKEN : LOCK_LATE;
}

void lock_give(pthread_mutex_t *lock)
{
    pthread_mutex_unlock(lock);
}
