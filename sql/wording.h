/* PostgreSQL's words about a statement that ran, for a log that never holds a parameter's value. They may: to_tsquery()
 * of what a consumer typed fails with `syntax error in tsquery: "what they typed"`, and RAISE says what it likes. */
#ifndef SQL_WORDING_H
#define SQL_WORDING_H

#include "common/slice.h"

#include <libpq-fe.h>

enum { WORDING_BYTES = 512 };

/* Whether they may be anything: they come from the database's own functions, or are translated, so that what they quote
 * cannot be told from the rest. */
bool wording_is_free(const PGresult *error);
/* What stands in quotes, and a number, is replaced by "..." where it does not stand in the query's text; free words are
 * left out as a whole, and so are those that are not ASCII. */
void wording_log(const char *message, bool is_free, struct slice query, char words_out[WORDING_BYTES]);

#endif
