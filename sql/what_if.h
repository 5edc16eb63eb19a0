/* What PostgreSQL would do: plans of statements, also with indexes that are not there, where the extension HypoPG is,
 * and what is to be known of a table for that. On one session (sql/session.h), so nothing is changed. Blocks. */
#ifndef SQL_WHAT_IF_H
#define SQL_WHAT_IF_H

#include "common/arena.h"
#include "common/err.h"
#include "sql/query.h"

struct what_if;

struct what_if_column {
    const char *name; /* as SQL writes it, quoted where it must be */
    const char *type; /* that a btree index compares its values as; "": none can have them */
    int number;
};

struct what_if_table {
    const char *name;  /* as SQL writes it, with its schema; of a partition that of the whole table */
    const char *alias; /* the one that was asked for, as SQL writes it */
    const char *oid;
    double rows; /* as of the last ANALYZE; -1: there was none */
    int64_t bytes;
    bool is_partition;
    struct what_if_column *columns;
    int column_count; /* 0: it is the system's, which gets no index */
};

/* timeout_us: to connect, and the statement_timeout. NULL: err has PostgreSQL's words. */
struct what_if *what_if_open(const char *url, int64_t timeout_us, struct err *err) MUST_USE;
void what_if_close(struct what_if **what_if);

/* The statement's generic plan, of one process, EXPLAIN (VERBOSE, FORMAT JSON), in arena. After a failure the next one
 * is tried all the same. NULL: err has PostgreSQL's words. */
const char *what_if_plan(struct what_if *w, const struct query_statement *statement, struct arena *arena,
                         struct err *err) MUST_USE;
/* By its names as they are. False: err has PostgreSQL's words. */
bool what_if_table(struct what_if *w, const char *schema, const char *name, const char *alias,
                   struct what_if_table *table_out, struct arena *arena, struct err *err) MUST_USE;
/* The table has an index whose first columns are these, in whatever order. */
bool what_if_is_indexed(struct what_if *w, const struct what_if_table *table,
                        const struct what_if_column *const *columns, int count, struct arena *arena);

bool what_if_has_indexes(const struct what_if *w); /* HypoPG is there, and works */
/* As if it had been made, until the next what_if_drop_indexes(). False: it cannot be made, as err says. */
bool what_if_index(struct what_if *w, const char *create_index, struct err *err) MUST_USE;
void what_if_drop_indexes(struct what_if *w);

#endif
