#include "sql/cancel.h"
#include "common/log.h"
#include "common/thread.h"

#include <stdatomic.h>

/* AT_ONCE_MAX: as many as one consumer's batch may have running when it leaves, and some. */
enum { AT_ONCE_MAX = 32, ERROR_BYTES = 256 };

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

void cancel_send(PGconn *pg)
{
    pthread_t thread;
    PGcancel *cancel = under_way < AT_ONCE_MAX ? PQgetCancel(pg) : NULL;
    if (cancel == NULL)
        return;
    under_way++;
    if (thread_start(&thread, "perfd-cancel", run, cancel)) {
        pthread_detach(thread);
        return;
    }
    under_way--;
    PQfreeCancel(cancel);
    log_warn("a query cannot be cancelled: no thread can be made");
}
