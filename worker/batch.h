/* Several requests in one: each item of the body goes the way of any other request, and fails alone; the answers come
 * in the items' order. */
#ifndef WORKER_BATCH_H
#define WORKER_BATCH_H

#include "worker/request.h"

/* Of a route that is a batch. */
void batch_start(struct request *r);

#endif
