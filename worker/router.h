/* Finds the route of a method and a path. A literal segment wins over a parameter. */
#ifndef WORKER_ROUTER_H
#define WORKER_ROUTER_H

#include "worker/route.h"
#include "worker/target.h"

struct router;

struct router *router_create(struct route *routes, int count) MUST_USE;
void router_destroy(struct router **router);

struct router_place; /* a path that some route serves */

/* NULL: no route has this path. values_out has room for TARGET_SEGMENTS_MAX: what the path's parameters are, in the
 * order in which they stand there. */
const struct router_place *router_find(const struct router *router, const struct target *target,
                                       struct slice *values_out);
struct route *router_route(const struct router_place *place, enum method method); /* NULL: not this method */
/* The index in the query's names of the path's i-th parameter, or -1 when the query does not use it. */
int router_name(const struct router_place *place, enum method method, int i);
const char *router_allow(const struct router_place *place); /* "GET, HEAD, OPTIONS" */

#endif
