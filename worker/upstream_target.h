/* The target of an upstream's request: the route's template with its parameters' values, percent-encoded. */
#ifndef WORKER_UPSTREAM_TARGET_H
#define WORKER_UPSTREAM_TARGET_H

#include "worker/request.h"

/* A value cannot lead out of its segment, nor out of the path (`.`, `..`, `a/../b`, an empty one): such a one is
 * refused. A part of the query with an absent parameter is left out. False: r->problem has an entry for each that is
 * wrong. */
bool upstream_target_make(struct request *r, struct slice *target_out) MUST_USE;

#endif
