/* What an operator has dropped (shm/purge.h), done by the keeper as a write does it: Redis and other perfds are told
 * first, then the tag is raised here, then the master hears that it is done. What is dropped is counted and taken out
 * of the cache at once, so that its room is free. */
#ifndef WORKER_PURGER_H
#define WORKER_PURGER_H

#include "worker/worker.h"

struct purger;
struct redis;

/* redis NULL: the keeper has none. Where one is configured all the same, it is owed what it is not told. */
struct purger *purger_create(const struct worker_start *start, struct redis *redis) MUST_USE;
/* With each of the keeper's turns. */
void purger_step(struct purger *purger);

#endif
