/* The SQL of a route's pages. The route's own SELECT becomes a subquery with an order, a limit, and a condition that
 * nothing but the rows behind the last page meets. PostgreSQL pulls a plain SELECT up, so that an index over what it
 * filters by and the page's keys gives the rows of a page in order and reads none before it.
 *
 * The order is that of an index: NULL comes after every value, and so first where a key descends. The rows behind a
 * given one are a few ranges of the index, one a branch of a UNION ALL; where all keys go one way they are one range,
 * by a comparison of rows, and where they ascend those with NULL beside it. */
#ifndef SQL_KEYSET_H
#define SQL_KEYSET_H

#include "common/conf.h"
#include "sql/query.h"

#include <libpq-fe.h>

struct keyset_shape {
    bool first;     /* page: no cursor */
    unsigned nulls; /* bit i: the cursor's i-th value is NULL */
    int64_t limit;  /* so many rows at most; 0: as the last parameter says */
};

/* NULL, or why the query cannot come in pages. */
const char *keyset_refuses(const struct query *query);
/* Where the page's keys stand among the columns. False: err. */
bool keyset_columns(const struct conf_page *page, const PGresult *described, int columns_out[static CONF_PAGE_KEYS_MAX],
                    struct err *err);
/* The statement; its parameters are the query's own, the cursor's values that are not NULL, and the limit if it is one.
 */
const char *keyset_text(const struct conf_page *page, const struct query_statement *inner,
                        const struct keyset_shape *shape, struct arena *arena) MUST_USE;
/* The character of `inner` that stands at this one of a keyset_text(), from 1; 0: none does. */
int keyset_position(const char *text, const struct query_statement *inner, int position);

#endif
