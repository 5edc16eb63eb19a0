/* PostgreSQL's plan of a statement, for perfctl, on a connection of its own. */
#ifndef SQL_EXPLAIN_H
#define SQL_EXPLAIN_H

#include "common/buf.h"
#include "common/err.h"
#include "sql/query.h"

struct explain {
    const char *url;
    int64_t timeout_us;        /* to connect, and the statement_timeout */
    const char *const *values; /* of all its statements, in their order; NULL: not known, the plan is a generic one */
    bool analyze;              /* run it as well: read only, and rolled back */
    bool json;                 /* EXPLAIN (FORMAT JSON) */
};

/* Prepares each of the query's statements as perfd does, and appends its plan, one behind the other; JSON is parted by
 * commas. Blocks. Takes no part in what perfd does: a transaction that is read only, with a statement_timeout, and
 * rolled back. False: err has PostgreSQL's words. */
bool explain_query(const struct explain *explain, const struct query *query, struct buf *out, struct err *err) MUST_USE;

#endif
