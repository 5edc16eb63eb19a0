/* A .sql text, split and rewritten: `:name` and `:'name'` (as psql binds them) become $1, $2...; strings, E'', comments
 * (nested too), dollar quotes, quoted identifiers and ::casts are respected; `;` splits statements. */
#ifndef SQL_QUERY_H
#define SQL_QUERY_H

#include "common/conf.h"

struct query_statement {
    const char *text;  /* rewritten */
    int line;          /* of its first byte in the source, from 1 */
    int param_count;   /* $1..$n of this statement */
    const int *params; /* $i+1 is query.names[params[i]] */
    const int *source; /* source[i]: offset in the original text of byte i of `text`, for error positions */
    bool sorted;       /* ORDER BY, LIMIT, OFFSET or FETCH stands in it, outside of all parentheses */
};

struct query {
    struct query_statement *statements;
    int statement_count; /* at least 1, or 0: the names are all that it has */
    const char **names;  /* each parameter once, in order of first use */
    int name_count;
};

/* err: "LINE:COLUMN: what is wrong" (an unclosed quote or comment, no statement, over 64 parameters). */
struct query *query_parse(struct slice text, struct arena *arena, struct err *err) MUST_USE;
/* What has the {name}s of templates for parameters, and no statement. */
struct query *query_of_templates(const struct conf_strings *templates, struct arena *arena) MUST_USE;
int query_name_index(const struct query *query, struct slice name); /* -1: it has no such parameter */
/* It can only read, and begins and ends no transaction: SELECT, VALUES, TABLE, or WITH. */
bool query_is_select(const struct query_statement *statement);
/* Tells one text from another. */
uint64_t query_fingerprint(struct slice text);
/* Line and column in the source of a 1-based character position (PG_DIAG_STATEMENT_POSITION) in a statement's text. */
void query_locate(struct slice source, const struct query_statement *statement, int position, int *line_out,
                  int *column_out);

#endif
