/* What each route has in the shared cache, and what it lost there for want of room: an entry's key begins with the
 * version of the route that stored it (params_key()), so that entries themselves need not tell. What no route of the
 * configuration in force has stored is counted as "(other)". */
#ifndef WORKER_HOLDINGS_H
#define WORKER_HOLDINGS_H

#include "worker/worker.h"

struct holdings;

/* From now on what this process evicts is counted. */
struct holdings *holdings_create(const struct worker_start *start) MUST_USE;
/* The keeper, with each of its turns: counts a part of the entries and their bytes. When all have been counted, after a
 * few seconds, the sums are told. */
void holdings_step(struct holdings *holdings, int64_t now_us);

#endif
