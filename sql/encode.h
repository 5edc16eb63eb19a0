/* Rows to JSON by type OID, nested columns ("posts[].id", "address.city") included. */
#ifndef SQL_ENCODE_H
#define SQL_ENCODE_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/conf.h"
#include "common/err.h"

#include <libpq-fe.h>

struct encode_plan;

/* The shape of a result, from its column names and types. Refused: a name twice, two arrays on one level, an array as
 * the root of `value`, more than one column for `value`. */
struct encode_plan *encode_plan_create(const PGresult *described, enum result_kind kind, bool bigint_string,
                                       struct arena *arena, struct err *err) MUST_USE;
/* The plan fits this result's columns (count, names' order is fixed by the statement, types). */
bool encode_plan_fits(const struct encode_plan *plan, const PGresult *result);

/* rows: an array; row and value: the one row's object or value. Returns the number of top-level objects: for row and
 * value the caller answers 404 when it is 0, and an error when it is more than 1 (nothing useful is in out then). */
int encode_result(const struct encode_plan *plan, const PGresult *result, struct buf *out);

#endif
