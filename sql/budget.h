/* Whether the connections that the configuration allows fit into what the server does: all workers' pools at their
 * fullest, beside its max_connections without the reserved ones, or the database's or the role's own limit if that is
 * less. `pool max=auto` is cut so that they fit, and some are left for others. */
#ifndef SQL_BUDGET_H
#define SQL_BUDGET_H

#include "common/conf.h"
#include "common/err.h"

#define BUDGET_QUERY                                                                                                   \
    "SELECT least(current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int "   \
    "- coalesce(current_setting('reserved_connections', true)::int, 0), "                                              \
    "(SELECT nullif(datconnlimit, -1) FROM pg_catalog.pg_database WHERE datname = current_database()), "               \
    "(SELECT nullif(rolconnlimit, -1) FROM pg_catalog.pg_roles WHERE rolname = current_user))"

/* allowed: what the query answers. The connections that each worker's pool may have; when that is less than it was
 * meant to have, or too many, warning has both figures, else it is "". */
int budget_pool_max(const struct conf *conf, int allowed, struct err *warning);

#endif
