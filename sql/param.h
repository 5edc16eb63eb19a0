/* A parameter's value on its way to PostgreSQL: from text (path, query string, default) or from raw JSON (body) to the
 * text format of its type, checked and made canonical, so that 7, 07 and +7 are one cache key. */
#ifndef SQL_PARAM_H
#define SQL_PARAM_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/conf.h"
#include "common/json_scan.h"

struct param_value {
    bool null;
    struct slice text; /* NUL-terminated behind len; contains no NUL */
};

/* NULL on success, else what is wrong with it, in arena, as the consumer reads it: "must be an integer" ("must be
 * between -32768 and 32767", "must be true or false", "must not contain a NUL byte", ...). oid is PostgreSQL's type. */
const char *param_from_text(struct slice text, uint32_t oid, struct arena *arena, struct param_value *value_out);
const char *param_from_json(const struct json_field *field, uint32_t oid, struct arena *arena,
                            struct param_value *value_out);
/* Several values of one repeated query parameter, for an array type; refused for any other. */
const char *param_from_texts(const struct slice *texts, int count, uint32_t oid, struct arena *arena,
                             struct param_value *value_out);
/* As an element of an array in text format. */
void param_put_element(struct buf *out, const struct param_value *value);
/* min, max, enum, pattern, max_length, required of the route's `param` line. rule may be NULL. */
const char *param_check(const struct param_value *value, const struct conf_param *rule, struct arena *arena);

#endif
