/* One value of PostgreSQL's text format as JSON. */
#ifndef SQL_VALUE_H
#define SQL_VALUE_H

#include "common/buf.h"
#include "sql/type.h"

/* text is what PQgetvalue() gave with TimeZone UTC, DateStyle ISO and client_encoding UTF8; not NULL. Timestamps come
 * out as to_json() writes them, bytea as base64, NaN and the infinities as null, what has no form in JSON as a string.
 */
void value_write(struct buf *out, struct type type, bool bigint_string, struct slice text);

#endif
