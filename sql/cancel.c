#include "sql/cancel.h"
#include "common/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* AT_ONCE_MAX: as many as one consumer's batch may have running when it leaves, and some. */
enum { AT_ONCE_MAX = 32, STACK_BYTES = 256 << 10, ERROR_BYTES = 256 };

static _Atomic int under_way;

static void *run(void *arg)
{
    PGcancel *cancel = arg;
    char error[ERROR_BYTES];
    (void)PQcancel(cancel, error, sizeof error); /* what it says nobody waits for */
    PQfreeCancel(cancel);
    under_way--;
    return NULL;
}

/* The loop's thread takes the signals. */
static int start(PGcancel *cancel)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread, &attr, run, cancel);
    if (failed == 0)
        pthread_setname_np(thread, "perfd-cancel");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return failed;
}

void cancel_send(PGconn *pg)
{
    PGcancel *cancel = under_way < AT_ONCE_MAX ? PQgetCancel(pg) : NULL;
    if (cancel == NULL)
        return;
    under_way++;
    if (start(cancel) != 0) {
        under_way--;
        PQfreeCancel(cancel);
        log_warn("a query cannot be cancelled: no thread can be made");
    }
}
