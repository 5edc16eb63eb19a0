/* A route's query as PostgreSQL gets it. */
#ifndef MASTER_CTL_ROUTE_QUERY_H
#define MASTER_CTL_ROUTE_QUERY_H

#include "common/conf.h"
#include "sql/query.h"

/* In arena. Of a route with pages that of the first one, which its consumers ask for most. NULL: err, or it has none.
 */
struct query *route_query(const struct conf_route *route, struct arena *arena, struct err *err) MUST_USE;

#endif
