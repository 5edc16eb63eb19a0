/* JSON of a file that people write. A value is looked at as a node, which knows where it stands: what is wrong with it
 * is told as "file:line:column: requests[2].weight: what is wrong". Everything lives in the arena of the node_file. */
#ifndef CTL_LOAD_NODE_H
#define CTL_LOAD_NODE_H

#include "common/err.h"
#include "common/json_scan.h"

struct node_file {
    const char *name;
    struct slice text; /* outlives the nodes */
    struct arena *arena;
};

struct node {
    const struct node_file *file;
    const char *path; /* "" of the whole text */
    struct slice raw;
    enum json_type type;
};

/* The members of an object. */
struct node_object {
    struct node node;
    struct json_field *fields;
    bool *taken;
    int count;
};

/* The whole text, which must be one object. */
bool node_root(const struct node_file *file, struct node_object *out, struct err *err) MUST_USE;
/* err = "file:line:column: path: " and the text. Returns false. */
bool node_fail(const struct node *node, struct err *err, const char *fmt, ...) PRINTF(3, 4);

bool node_open(const struct node *node, struct node_object *out, struct err *err) MUST_USE;
/* The member of that name; false: there is none. */
bool node_take(struct node_object *object, const char *name, struct node *out) MUST_USE;
/* Likewise; a missing one is an error. */
bool node_need(struct node_object *object, const char *name, struct node *out, struct err *err) MUST_USE;
/* One after the other, for objects whose names are the writer's. NULL: there are no more than i. */
const char *node_member(const struct node_object *object, int i, struct node *out) MUST_USE;
/* Fails for the first member that nobody took. */
bool node_all_taken(const struct node_object *object, struct err *err) MUST_USE;

/* The elements of an array. */
bool node_list(const struct node *node, struct node **out, int *count_out, struct err *err) MUST_USE;
bool node_string(const struct node *node, const char **out, struct err *err) MUST_USE; /* without NUL bytes */
bool node_number(const struct node *node, double least, double most, double *out, struct err *err) MUST_USE;
bool node_whole(const struct node *node, int64_t least, int64_t most, int64_t *out, struct err *err) MUST_USE;
bool node_flag(const struct node *node, bool *out, struct err *err) MUST_USE;
bool node_duration(const struct node *node, int64_t *us_out, struct err *err) MUST_USE; /* "250ms", "2m" */

#endif
