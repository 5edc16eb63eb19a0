/* Rows as lines of RFC 4180. NULL is nothing, an empty text is "", as PostgreSQL's COPY has it: NULL in an only column
 * is an empty line. Times and bytes are written as in JSON, but bare; arrays are JSON in quotes. */
#ifndef SQL_CSV_H
#define SQL_CSV_H

#include "sql/encode_plan.h"

void csv_write_names(struct buf *out, const PGresult *result);
void csv_write_row(struct buf *out, const struct encode_plan *plan, const PGresult *result, int row);

#endif
