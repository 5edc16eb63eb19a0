/* What PostgreSQL would do, asked on one connection in one transaction that is read only and rolled back: plans of
 * statements, also with indexes that are not there, where the extension HypoPG is. Blocks. */
#ifndef SQL_WHAT_IF_H
#define SQL_WHAT_IF_H

#include "common/arena.h"
#include "common/err.h"
#include "sql/query.h"

struct what_if;

struct what_if_table {
    const char *name; /* as SQL writes it, with its schema where it needs one */
    double rows;      /* as of the last ANALYZE */
    int64_t bytes;
    const char **columns; /* as SQL writes them, quoted where they must be */
    int column_count;
};

/* timeout_us: to connect, and the statement_timeout. NULL: err has PostgreSQL's words. */
struct what_if *what_if_open(const char *url, int64_t timeout_us, struct err *err) MUST_USE;
void what_if_close(struct what_if **what_if);

/* The statement's generic plan, EXPLAIN (VERBOSE, FORMAT JSON), in arena. After a failure the next one is tried all the
 * same. NULL: err has PostgreSQL's words. */
const char *what_if_plan(struct what_if *w, const struct query_statement *statement, struct arena *arena,
                         struct err *err) MUST_USE;
bool what_if_table(struct what_if *w, const char *schema, const char *name, struct what_if_table *table_out,
                   struct arena *arena, struct err *err) MUST_USE;
bool what_if_has_indexes(const struct what_if *w); /* HypoPG is there */
/* As if it had been made, until the next what_if_drop_indexes(). */
bool what_if_index(struct what_if *w, const char *create_index, struct err *err) MUST_USE;
void what_if_drop_indexes(struct what_if *w);

#endif
