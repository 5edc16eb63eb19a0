/* Reads: the shared cache, then one fetch a key over all workers (single flight), then Redis, then the database. */
#ifndef WORKER_FETCH_H
#define WORKER_FETCH_H

#include "worker/request.h"

void fetch_start(struct request *r);

#endif
