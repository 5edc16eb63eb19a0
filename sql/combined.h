/* The SQL of combined lookups: a SELECT with one parameter, for each element of an array. The parameter's places name a
 * column of the array's rows, and the SELECT is joined to them LATERAL, so that it means what it meant alone, whatever
 * it is; its rows are told apart by the place of their key in the array, and not by what a key looks like. PostgreSQL
 * pulls a plain SELECT up and reads the index once a key.
 *
 * The array stands in a subselect, where the planner does not look into it: it would plan for so many keys each time
 * that they are fewer than the ten of a general plan, which costs more than they do. */
#ifndef SQL_COMBINED_H
#define SQL_COMBINED_H

#include "sql/query.h"

/* NULL, or why lookups by this query cannot be combined. */
const char *combined_refuses(const struct query *query);
/* $1 is the array. The columns are those of `inner`, then the place of the row's key in the array, from 1. NULL: err:
 * the parameter's type has no name here (type.def), or is an array. */
const char *combined_text(const struct query_statement *inner, uint32_t param_type, struct arena *arena,
                          struct err *err) MUST_USE;

#endif
