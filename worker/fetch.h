/* Reads: the shared cache, then one fetch a key over all workers (single flight), then Redis, then the database. */
#ifndef WORKER_FETCH_H
#define WORKER_FETCH_H

#include "worker/request.h"

/* Answers by a fresh entry and returns true, or does nothing but tell http->early. */
bool fetch_hit(struct request *r, const struct cache_key *key);
void fetch_start(struct request *r);

#endif
