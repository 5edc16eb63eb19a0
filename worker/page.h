/* Pages of a route's rows (`page keyset`): where a request's page begins, the statement that fetches it and one row
 * more, and the header Link of the page behind it. */
#ifndef WORKER_PAGE_H
#define WORKER_PAGE_H

#include "sql/pool.h"
#include "worker/request.h"

/* Adds the page's parameters to the query's names. False: err. */
bool page_extend(struct route *route, struct err *err) MUST_USE;
/* route->page, with numbers for its statements from *next_id on. */
void page_create(struct route *route, uint32_t *next_id);
/* Finds the keys among the columns of the route's result. False: err. */
bool page_describe(struct route *route, const PGresult *columns, struct err *err) MUST_USE;

/* request->page, from its parameters. False: request->problem has an entry for the cursor. */
bool page_read(struct request *r) MUST_USE;
void page_work(const struct request *r, struct pool_work *work);
/* An error's place in the statement of page_work() as one in the route's own. */
void page_locate(const struct request *r, struct pool_outcome *outcome);
/* How many rows of the result the page shows; request->head has its Link if there are more. -1: err. */
int page_take(struct request *r, const PGresult *result, struct err *err) MUST_USE;

#endif
