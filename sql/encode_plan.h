/* The plan behind encode.h: a result's rows are elements that nest, one list a level, each written by a little program.
 * Level 0 are the top-level objects; level 1 the elements of the one array that they have, and so on. */
#ifndef SQL_ENCODE_PLAN_H
#define SQL_ENCODE_PLAN_H

#include "common/arena.h"
#include "sql/encode.h"
#include "sql/type.h"

struct encode_column {
    uint32_t oid;
    struct type type;
};

enum encode_op_kind {
    OP_TEXT,   /* write text */
    OP_COLUMN, /* write text, then the column's value */
    OP_OBJECT, /* write text; when columns first..last are all NULL write null and go on at `to` */
    OP_ARRAY,  /* write text; here the next level's elements stand */
};

struct encode_op {
    enum encode_op_kind kind;
    struct slice text; /* commas, names, braces */
    int column;
    const int *columns; /* OP_OBJECT */
    int column_count, to;
};

struct encode_level {
    struct encode_op *ops;
    int op_count, array; /* index of OP_ARRAY, or op_count */
    int *columns;        /* of this level's elements, nested objects included, the array not */
    int column_count;
};

struct encode_plan {
    struct arena *arena; /* its own */
    int holds;
    enum result_kind kind;
    bool bigint_string;
    struct encode_column *columns;
    int column_count;
    struct encode_level *levels;
    int level_count;
};

#endif
