/* What kind of value a PostgreSQL type is, for what goes in (param.c) and what comes out (encode.c). */
#ifndef SQL_TYPE_H
#define SQL_TYPE_H

#include "common/base.h"

enum type_kind {
    TYPE_OTHER, /* a string in JSON, whatever PostgreSQL makes of it: inet, ranges, enums, composites */
    TYPE_BOOL,
    TYPE_BYTES,
    TYPE_INT2,
    TYPE_INT4,
    TYPE_INT8,
    TYPE_OID,
    TYPE_FLOAT,
    TYPE_NUMERIC,
    TYPE_JSON,
    TYPE_TEXT,
    TYPE_UUID,
    TYPE_TIMESTAMP,
    TYPE_TIMESTAMPTZ,
};

struct type {
    enum type_kind kind; /* of the value, or of an array's elements */
    bool array;
    uint32_t element; /* an array's: oid of its elements */
};

enum { OID_INT8 = 20, OID_TEXT = 25 };

struct type type_of(uint32_t oid);
/* Of a type with a row in type.def, not of an array: "int8". NULL: it has none. */
const char *type_name(uint32_t oid);

#endif
