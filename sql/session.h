/* A connection of perfctl's own, for questions that change nothing: one transaction, read only, with a
 * statement_timeout, and rolled back. It asks for no options of the connection and leaves nothing behind, so that it
 * works on a replica and through a pooler, too. Blocks. */
#ifndef SQL_SESSION_H
#define SQL_SESSION_H

#include "common/err.h"
#include "sql/query.h"

#include <libpq-fe.h>

struct session;

/* timeout_us: to connect, and the statement_timeout. NULL: err has PostgreSQL's words. */
struct session *session_open(const char *url, int64_t timeout_us, struct err *err) MUST_USE;
void session_close(struct session **session);

/* After a failure the next question is asked all the same. The caller clears the result. NULL: err has PostgreSQL's
 * words. values: of $1 and so on. */
PGresult *session_ask(struct session *session, const char *sql, int count, const char *const *values,
                      struct err *err) MUST_USE;
/* EXPLAIN (options) of the statement, prepared as perfd does. values: of all its parameters; NULL: its generic plan. No
 * lock on its tables is kept. */
PGresult *session_explain(struct session *session, const char *options, const struct query_statement *statement,
                          const char *const *values, struct err *err) MUST_USE;

#endif
