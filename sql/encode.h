/* Rows on their way out: JSON by type OID, nested columns ("posts[].id", "address.city") included, NDJSON, or CSV. A
 * result comes whole or a few rows at a time. */
#ifndef SQL_ENCODE_H
#define SQL_ENCODE_H

#include "common/buf.h"
#include "common/conf.h"
#include "common/err.h"

#include <libpq-fe.h>

struct encode_plan;

enum encode_format {
    ENCODE_JSON,
    ENCODE_NDJSON, /* an object a line; https://github.com/ndjson/ndjson-spec */
    ENCODE_CSV,    /* RFC 4180, with a line of names; what is nested stays flat, under its column's whole name */
};

/* The shape of a result, from its column names and types. Refused: a name twice, two arrays on one level, an array as
 * the root of `value`, more than one column for `value`. */
struct encode_plan *encode_plan_create(const PGresult *described, enum result_kind kind, bool bigint_string,
                                       struct err *err) MUST_USE;
/* For as long as a result is under way. */
struct encode_plan *encode_plan_hold(struct encode_plan *plan);
void encode_plan_release(struct encode_plan **plan); /* NULL is fine */
/* The plan fits this result's columns (count, names' order is fixed by the statement, types). */
bool encode_plan_fits(const struct encode_plan *plan, const PGresult *result);

enum { ENCODE_LEVELS_MAX = 8 };

/* A result on its way out; all of it is encode.c's. */
struct encoding {
    struct encode_plan *plan;
    enum encode_format format;
    struct buf *out;
    /* A row whose element of level i is not closed yet; result NULL: none. */
    struct encode_open {
        const PGresult *result;
        int row;
    } open[ENCODE_LEVELS_MAX];
    bool first[ENCODE_LEVELS_MAX]; /* nothing stands in this level's array yet */
    bool named;                    /* the line of names is written */
    int objects;
};

/* row and value are JSON whatever the format. out may be emptied between the calls, but not during them. */
void encode_begin(struct encoding *e, struct encode_plan *plan, enum encode_format format, struct buf *out);
/* The next rows. The result is the encoding's from here on. */
void encode_take(struct encoding *e, PGresult *result);
/* The end. Returns the number of top-level objects: for row and value the caller answers 404 when it is 0, and an error
 * when it is more than 1 (nothing useful is in out then). */
int encode_end(struct encoding *e);
/* Instead of the end. */
void encode_drop(struct encoding *e);

/* All of a result, which stays the caller's. */
int encode_result(struct encode_plan *plan, const PGresult *result, struct buf *out);
/* The same of its first `rows` rows alone, in any format. */
int encode_first(struct encode_plan *plan, enum encode_format format, const PGresult *result, int rows,
                 struct buf *out);

#endif
