/* What a consumer is told when the database did not answer with rows: a status for each SQLSTATE, by the table of
 * routes.md (the design), as RFC 9110 and RFC 9457 word it. */
#ifndef WORKER_REFUSAL_H
#define WORKER_REFUSAL_H

#include "sql/pool.h"
#include "worker/request.h"

/* Fills r->problem and logs what is the operator's fault. outcome->fail is not POOL_OK. */
void refusal_of(struct request *r, const struct pool_outcome *outcome);

#endif
