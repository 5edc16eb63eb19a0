/* From the database's rows to an answer: for reads and writes alike. */
#ifndef WORKER_ROWS_H
#define WORKER_ROWS_H

#include "worker/request.h"

/* The work of the route's statements with this request's values. */
struct pool_work rows_work(const struct request *r);

/* True: body has the JSON (nothing for `none`), status is the route's. False: r->problem says what instead, be it
 * PostgreSQL's refusal, no row where one was asked for, or several. */
bool rows_read(struct request *r, const struct pool_outcome *outcome, struct buf *body_out) MUST_USE;
/* r->problem for rows that were taken while they came: PostgreSQL's refusal, or what is wrong with them. */
void rows_refuse(struct request *r, const struct pool_outcome *outcome, const char *wrong);

#endif
