/* The target of a request out of its template, "/api/users/{id}/posts?limit={limit}", and the parameters' values. */
#ifndef WORKER_TARGET_FILL_H
#define WORKER_TARGET_FILL_H

#include "sql/param.h"
#include "sql/query.h"

/* values[i] belongs to the query's names[i]. They are percent-encoded, so that none ends its segment or its value; a
 * NAME=VALUE with one that is null is left out. None of the path's may be null. */
struct slice target_fill(const char *template, const struct query *query, const struct param_value *values,
                         struct arena *arena);

#endif
