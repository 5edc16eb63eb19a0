#include "common/thread.h"

#include <signal.h>

bool thread_start(pthread_t *thread_out, const char *name, void *(*run)(void *arg), void *arg)
{
    pthread_attr_t attr;
    sigset_t all, before;
    CHECK(pthread_attr_init(&attr) == 0);
    CHECK(pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES) == 0);
    sigfillset(&all); /* it inherits what its maker has */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(thread_out, &attr, run, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (started)
        pthread_setname_np(*thread_out, name);
    return started;
}
