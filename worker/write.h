/* Routes that change something: run, then drop what became stale, then answer, so that a consumer reads its own write
 * through any worker. */
#ifndef WORKER_WRITE_H
#define WORKER_WRITE_H

#include "worker/request.h"

void write_start(struct request *r);

#endif
