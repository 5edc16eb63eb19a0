/* What `perfd -t` and a reload ask of the database: every route's query parses, prepares and fits its result. */
#ifndef SQL_CHECK_H
#define SQL_CHECK_H

#include "common/conf.h"
#include "common/err.h"

enum check_result {
    CHECK_OK,
    CHECK_TIGHT,       /* good, but err has a warning: pools that are too large for the server */
    CHECK_NO_DATABASE, /* none answers: only the texts were checked; err says why, to be logged as a warning */
    CHECK_BAD          /* err: "file:line:column: PostgreSQL's message" */
};

/* Blocks, at most about timeout_us: never call it in a worker's loop or in the master itself. Also checks without the
 * database: query texts, names used in tags and in the path against the query's parameters, params of no query. */
enum check_result check_routes(const struct conf *conf, int64_t timeout_us, struct err *err);

#endif
