/* Queries that took long: a line in the error log, without parameters, and an entry of the ring that perfctl reads. */
#ifndef WORKER_SLOW_QUERY_H
#define WORKER_SLOW_QUERY_H

#include "sql/pool.h"
#include "worker/service.h"

/* Of every query that ended. gone: nobody waited for it any more, and it was cancelled. */
void slow_query_note(struct service *service, const struct pool_work *work, const struct pool_outcome *outcome,
                     bool gone);

#endif
