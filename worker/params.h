/* A request's parameters: gathered from the path, the query string, the body and the defaults, typed by what PostgreSQL
 * said, checked, and turned into the values to bind, the tags and the cache key. */
#ifndef WORKER_PARAMS_H
#define WORKER_PARAMS_H

#include "sql/param.h"
#include "worker/problem.h"
#include "worker/router.h"

struct params_source {
    const struct router_place *place;
    enum method method;
    const struct slice *path_values;
    const struct target *target;
    const struct json_field *fields; /* of the body */
    int field_count;
};

/* values_out[i] belongs to the query's names[i]. False: problem has an entry for each parameter that is wrong. */
bool params_read(const struct route *route, const struct params_source *source, struct arena *arena,
                 struct param_value **values_out, struct problem *problem) MUST_USE;

/* values[statement][i] for pool_work. */
const char *const *const *params_bind(const struct route *route, const struct param_value *values, struct arena *arena);
/* The same answer has the same key, other ones have other keys: the route's version, every value with its length, and
 * the answer's form. */
struct slice params_key(const struct route *route, const struct param_value *values, enum encode_format format,
                        struct arena *arena);
/* The slot of each tag, its {names} replaced by values. slots_out has room for templates->count. */
void params_tags(const struct route *route, const struct conf_strings *templates, const struct param_value *values,
                 uint32_t *slots_out);

#endif
