#include "common/thread.h"
#include "common/crash_signal.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct work {
    void *(*run)(void *arg);
    void *arg;
    char name[16];
};

/* On its own stack there is room for one that still works when the rest of it has run out. */
static void *begin(void *arg)
{
    char stack[CRASH_STACK_BYTES];
    const struct work work = *(struct work *)arg;
    free(arg);
    pthread_setname_np(pthread_self(), work.name);
    crash_stack_use(stack);
    void *result = work.run(work.arg);
    crash_stack_use(NULL);
    return result;
}

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
    for (int i = 0; i < CRASH_SIGNALS; i++)
        sigdelset(&all, crash_signals[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct work *work = xmalloc(sizeof *work);
    *work = (struct work){.run = run, .arg = arg};
    snprintf(work->name, sizeof work->name, "%s", name);
    bool started = pthread_create(thread_out, &attr, begin, work) == 0;
    if (!started)
        free(work);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return started;
}
