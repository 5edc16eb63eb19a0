#include "common/thread.h"

#include <sched.h>
#include <signal.h>

static cpu_set_t home; /* of a thread that is not pinned */
static bool pinned;

bool thread_pin(int index)
{
    if (!pinned && sched_getaffinity(0, sizeof home, &home) != 0)
        return false;
    cpu_set_t one;
    CPU_ZERO(&one);
    int left = index % CPU_COUNT(&home);
    for (int cpu = 0; cpu < CPU_SETSIZE && left >= 0; cpu++)
        if (CPU_ISSET(cpu, &home) && left-- == 0)
            CPU_SET(cpu, &one);
    pinned = sched_setaffinity(0, sizeof one, &one) == 0;
    return pinned;
}

bool thread_start(pthread_t *thread_out, const char *name, void *(*run)(void *arg), void *arg)
{
    pthread_attr_t attr;
    sigset_t all, before;
    CHECK(pthread_attr_init(&attr) == 0);
    CHECK(pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES) == 0);
    if (pinned)
        CHECK(pthread_attr_setaffinity_np(&attr, sizeof home, &home) == 0);
    sigfillset(&all); /* it inherits what its maker has */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(thread_out, &attr, run, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (started)
        pthread_setname_np(*thread_out, name);
    return started;
}
